import { CfsError } from "../../../errors.ts";
import { mountImage } from "../../../mount/mount-image.ts";
import { openImage } from "../../../oci/image.ts";
import { imageRef } from "../../../oci/image-refs.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { mountOptions } from "../../mount-options.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci mount IMAGE MOUNTPOINT` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const bootable = args.flag("bootable");
  const { config } = openImage(repository, args.required("IMAGE"));
  const id = config.document.namedRefs.get(imageRef(repository.erofsVersion, bootable));
  if (id === undefined) {
    throw bootable
      ? new CfsError("NotFound", "No boot EROFS image linked", {
          hint: "pull the image with a tool that makes one",
        })
      : new CfsError("NotFound", "No composefs EROFS image linked", { hint: "pull the image again" });
  }
  mountImage(repository, id, args.required("MOUNTPOINT"), mountOptions(args));
}
