import { digestHex } from "../../../oci/digest.ts";
import { type ListedImage, listTaggedImages } from "../../../oci/list.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** Characters of a digest that the table shows. */
const SHORT_DIGEST = 12;

/** `cfsctl oci images` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const { out, err } = context;
  const images = listTaggedImages(repository, (message) => err.warning(message));
  if (args.flag("json")) out.json({ images: images.map(jsonImage) });
  else if (images.length === 0) out.line("No images found");
  else out.table(["NAME", "DIGEST", "ARCH", "LAYERS", "REFS"], images.map(row));
}

function row(image: ListedImage): string[] {
  return [
    image.name,
    digestHex(image.manifestDigest).slice(0, SHORT_DIGEST),
    image.architecture || "artifact",
    String(image.layerCount),
    String(image.referrerCount),
  ];
}

function jsonImage(image: ListedImage): object {
  return {
    name: image.name,
    manifest_digest: image.manifestDigest,
    is_container: image.isContainer,
    architecture: image.architecture,
    os: image.os,
    created: image.created ?? null,
    layer_count: image.layerCount,
    referrer_count: image.referrerCount,
    // Up to here as composefs-rs prints it; what follows is ours.
    config_digest: image.configDigest,
    media_type: image.mediaType,
    variant: image.variant ?? null,
    artifact_type: image.artifactType ?? null,
    subject: image.subject ?? null,
    size: image.size,
    index: image.index?.digest ?? null,
    platforms: image.index?.platforms ?? [],
  };
}
