import { commitOfStreamName, isPartialStreamName } from "../../../ostree/names.ts";
import { listCommitRefs } from "../../../ostree/stored-commit.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree images` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const { out } = context;
  const images = listCommitRefs(repository).flatMap(({ name, stream }) => {
    const commit = commitOfStreamName(stream);
    return commit === undefined ? [] : [{ name, commit, partial: isPartialStreamName(stream) }];
  });
  if (args.flag("json")) out.json({ images });
  else if (images.length === 0) out.line("No ostree commits found");
  else {
    out.table(
      ["NAME", "COMMIT"],
      images.map(({ name, commit, partial }) => [name, partial ? `${commit} (in part)` : commit]),
    );
  }
}
