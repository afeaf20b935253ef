import { openImage } from "../../../oci/image.ts";
import { imageRef } from "../../../oci/image-refs.ts";
import { listReferrers } from "../../../oci/list.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci inspect IMAGE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const { out } = context;
  const { manifest, config } = openImage(repository, args.required("IMAGE"));
  const configBytes = config.document.bytes;
  if (args.flag("manifest") || args.flag("config")) {
    out.bytes(args.flag("manifest") ? manifest.bytes : configBytes);
    out.line();
    return;
  }
  const text = new TextDecoder();
  const { namedRefs } = config.document;
  const version = repository.erofsVersion;
  out.json({
    manifest: text.decode(manifest.bytes),
    config: text.decode(configBytes),
    referrers: listReferrers(repository).get(manifest.digest) ?? [],
    composefs_erofs: namedRefs.get(imageRef(version)) ?? null,
    composefs_boot_erofs: namedRefs.get(imageRef(version, true)) ?? null,
  });
}
