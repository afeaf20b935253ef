import { exportCommit } from "../../../ostree/export/export-commit.ts";
import { checkOstreeRef, EXPORT_MODES, ExportTarget } from "../../../ostree/export/target.ts";
import { openResolvedCommit } from "../../../ostree/resolve.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree export SOURCE OSTREE_REPO_PATH` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const { out, err, globals, progress } = context;
  using repository = openRepository(context);
  const stored = openResolvedCommit(repository, args.required("SOURCE"));
  const ref = args.text("reference");
  if (ref !== undefined) checkOstreeRef(ref);
  const path = args.required("OSTREE_REPO_PATH");
  const mode = EXPORT_MODES.find((known) => known === args.text("mode"));
  await using target = await ExportTarget.open(path, mode, () =>
    err.line(`cfsctl: waiting until nobody removes objects from ${path} any more`),
  );
  const report = await exportCommit(repository, stored, target, { ref, jobs: globals.jobs, progress });
  if (args.flag("json")) {
    out.json({
      commit: stored.commit,
      repository: path,
      mode: target.mode,
      ref: ref ?? null,
      files: { total: report.files, written: report.newFiles },
      metadata: { total: report.metadata, written: report.newMetadata },
    });
    return;
  }
  out.line(`commit  ${stored.commit}`);
  if (ref !== undefined) out.line(`tagged  ${ref}`);
}
