import { CfsError } from "../../../errors.ts";
import { checkImages } from "../../../oci/fsck.ts";
import { acquireJobs } from "../../../parallel/jobs.ts";
import { checkRepository } from "../../../repository/fsck.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { printable } from "../../printable.ts";
import { openRepository } from "../../repository.ts";
import { jsonReport, printCauses, printReport } from "../fsck.ts";

/** `cfsctl oci fsck [IMAGE]` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  using jobs = acquireJobs(context.globals.jobs);
  const { out } = context;
  const general = await checkRepository(repository, { jobs: jobs.count });
  const { imagesChecked, imagesCorrupted, errors } = checkImages(repository, args.optional("IMAGE"));
  const ok = general.findings.length === 0 && errors.length === 0;
  const json = args.flag("json");
  if (json) {
    out.json({
      ok,
      images_checked: imagesChecked,
      images_corrupted: imagesCorrupted,
      errors,
      repo: jsonReport(general),
    });
  } else {
    printReport(context, general);
    out.line(`oci images: ${imagesChecked - imagesCorrupted}/${imagesChecked} ok`);
    if (errors.length > 0) out.line(`oci errors: ${errors.length}`);
    for (const error of errors) out.line(`  - ${printable(error)}`);
  }
  printCauses(context, general);
  if (!ok && (!json || args.flag("strict-exit"))) {
    throw new CfsError("Corrupt", "OCI integrity check failed", {
      hint: "pull damaged images again; what is missing comes back",
    });
  }
}
