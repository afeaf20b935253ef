import { mountImage } from "../../mount/mount-image.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { mountOptions } from "../mount-options.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl mount NAME MOUNTPOINT` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  mountImage(repository, args.required("NAME"), args.required("MOUNTPOINT"), mountOptions(args));
}
