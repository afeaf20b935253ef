import { openImage, openNamedConfig } from "../../../oci/image.ts";
import { imageRef } from "../../../oci/image-refs.ts";
import { listReferrers } from "../../../oci/referrers.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { printSummary } from "./image-summary.ts";

/** `cfsctl oci inspect IMAGE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const { out } = context;
  const name = args.required("IMAGE");
  if (args.flag("config")) {
    out.bytes(openNamedConfig(repository, name).document.bytes);
    out.line();
    return;
  }
  const image = openImage(repository, name);
  const { manifest, config } = image;
  if (args.flag("summary")) {
    printSummary(context, repository, image);
    return;
  }
  if (args.flag("manifest")) {
    out.bytes(manifest.bytes);
    out.line();
    return;
  }
  const text = new TextDecoder();
  const { namedRefs } = config.document;
  const version = repository.erofsVersion;
  out.json({
    manifest: text.decode(manifest.bytes),
    config: text.decode(config.document.bytes),
    referrers: listReferrers(repository).get(manifest.digest) ?? [],
    composefs_erofs: namedRefs.get(imageRef(version)) ?? null,
    composefs_boot_erofs: namedRefs.get(imageRef(version, true)) ?? null,
  });
}
