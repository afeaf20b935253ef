import { mountImage } from "../../../mount/mount-image.ts";
import { recordedImage } from "../../../ostree/recorded-image.ts";
import { openResolvedCommit } from "../../../ostree/resolve.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { mountOptions } from "../../mount-options.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree mount SOURCE MOUNTPOINT` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const name = args.required("SOURCE");
  const image = recordedImage(openResolvedCommit(repository, name), name);
  mountImage(repository, image, args.required("MOUNTPOINT"), mountOptions(args));
}
