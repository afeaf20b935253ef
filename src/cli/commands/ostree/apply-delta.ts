import { CfsError } from "../../../errors.ts";
import { deltaSource, openDeltaFile } from "../../../ostree/delta/delta-file.ts";
import { pullWithDelta } from "../../../ostree/delta/pull-delta.ts";
import { verifiedSource } from "../../../ostree/remote/open-remote.ts";
import { VerifiedSource } from "../../../ostree/signature/verified-source.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { reportJson, warnOfXattrs } from "./pull-commits.ts";
import { trustOf } from "./remote-arguments.ts";

/** `cfsctl ostree apply-delta PATH` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  const { out, progress, globals } = context;
  const path = args.required("PATH");
  const delta = openDeltaFile(path);
  const { length } = delta.superblock.fallbacks;
  if (length > 0) {
    throw new CfsError("Unsupported", `cannot apply delta offline: contains ${length} fallback entries`, {
      hint: "pull the commit from the repository that the delta is of",
    });
  }
  await using source = verifiedSource(deltaSource(path, delta.superblock), trustOf(args));
  if (source instanceof VerifiedSource) await source.readMetadata("commit", delta.superblock.to);
  const cleanXattrNames = args.flag("clean-xattr-names");
  const report = await pullWithDelta(repository, source, delta, {
    cleanXattrNames,
    jobs: globals.jobs,
    progress,
  });
  if (args.flag("json")) out.json(reportJson(report, []));
  else {
    out.line(`commit  ${report.commit}`);
    out.line(`verity  ${report.verity}`);
    out.line(`image   ${report.image}`);
    out.line(`objects ${report.metadata} metadata + ${report.files} files applied`);
  }
  if (report.hasXattrs && !cleanXattrNames) warnOfXattrs(context, report.commit);
}
