import { acquireJobs } from "../../parallel/jobs.ts";
import { createImage } from "../../repository/create-image.ts";
import { formatObjectId } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { xattrsArgument } from "../directory.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl create-image PATH [IMAGE_NAME]` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  using jobs = acquireJobs(context.globals.jobs);
  const id = await createImage(repository, args.required("PATH"), {
    ref: args.optional("IMAGE_NAME"),
    xattrs: xattrsArgument(args),
    bootable: args.flag("bootable"),
    oneFileSystem: args.flag("one-file-system"),
    jobs: jobs.count,
    progress: context.progress,
  });
  context.out.line(formatObjectId(id, repository.algorithm));
}
