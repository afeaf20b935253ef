import { erofsImageOf } from "../../../mount/container-image.ts";
import { mountImage } from "../../../mount/mount-image.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { mountOptions } from "../../mount-options.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci mount IMAGE MOUNTPOINT` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const id = erofsImageOf(repository, args.required("IMAGE"), args.flag("bootable"));
  mountImage(repository, id, args.required("MOUNTPOINT"), mountOptions(args));
}
