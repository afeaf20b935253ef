import { sealImage } from "../../../oci/seal-image.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci seal IMAGE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const tag = args.text("tag");
  const {
    manifest,
    config,
    verity,
    image,
    tag: tagged,
  } = sealImage(repository, args.required("IMAGE"), {
    bootable: args.flag("bootable"),
    ...(tag !== undefined && { tag }),
  });
  const { out } = context;
  if (args.flag("json")) {
    out.json({ manifest, config, verity, sealed: image, tag: tagged });
    return;
  }
  out.line(`manifest ${manifest}`);
  out.line(`config   ${config}`);
  out.line(`verity   ${verity}`);
  out.line(`sealed   ${image}`);
  out.line(`tagged   ${tagged}`);
}
