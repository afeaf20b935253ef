import { CfsError } from "../../../errors.ts";
import { checkCommits } from "../../../ostree/fsck.ts";
import { resolveCommit } from "../../../ostree/resolve.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { printable } from "../../printable.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree fsck [SOURCE]` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  const { out, progress, globals } = context;
  const name = args.optional("SOURCE");
  const wanted = name === undefined ? undefined : resolveCommit(repository, name);
  const { commitsChecked, commitsCorrupted, objectsChecked, faults } = await checkCommits(
    repository,
    wanted,
    progress,
    globals.jobs,
  );
  const ok = faults.length === 0;
  const json = args.flag("json");
  if (json) {
    out.json({
      ok,
      commits_checked: commitsChecked,
      commits_corrupted: commitsCorrupted,
      objects_checked: objectsChecked,
      errors: faults.map(({ commit, refs, what }) => ({ commit, refs, error: what })),
    });
  } else {
    out.line(`ostree commits: ${commitsChecked - commitsCorrupted}/${commitsChecked} ok`);
    for (const { commit, refs, what } of faults) {
      out.line(`  - ${printable([commit, ...refs].join(" "))}: ${printable(what)}`);
    }
    out.line(`status: ${ok ? "ok" : "corrupted"}`);
  }
  if (!ok && (!json || args.flag("strict-exit"))) {
    throw new CfsError("Corrupt", "ostree integrity check failed", {
      hint: "pull damaged commits again; what is missing comes back",
    });
  }
}
