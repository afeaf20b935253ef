import { CfsError } from "../../../errors.ts";
import { RemoteRepository } from "../../../ostree/remote/remote-repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { remoteOf } from "./remote-arguments.ts";

/** `cfsctl ostree list-refs REMOTE` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const remote = remoteOf(args);
  using repository = openRepository(context);
  const { out, progress } = context;
  await using source = await RemoteRepository.open(remote, {
    cache: repository,
    progress,
    subset: args.text("subset"),
  });
  const summary = await source.summary();
  if (summary === undefined) {
    throw new CfsError("NotFound", `${source.label}: no summary available from remote`, {
      hint: "whoever publishes the repository can make one with `ostree summary --update`; refs can be pulled without it",
    });
  }
  const refs = summary.refs.map(({ name, commit }) => ({ name, commit }));
  if (args.flag("json")) out.json({ refs });
  else if (refs.length === 0) out.line("No refs found");
  else {
    out.table(
      ["REF", "COMMIT"],
      refs.map(({ name, commit }) => [name, commit]),
    );
  }
}
