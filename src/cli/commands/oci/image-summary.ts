import { CfsError, describeError } from "../../../errors.ts";
import type { ImageConfig } from "../../../oci/config.ts";
import { imageConfigOf, type StoredImage } from "../../../oci/image.ts";
import { linkedImageRefs } from "../../../oci/image-refs.ts";
import { readableIndex } from "../../../oci/list.ts";
import { artifactTypeOf, publishedSize } from "../../../oci/manifest.ts";
import { storedReferrers } from "../../../oci/referrers.ts";
import { sealsOf } from "../../../oci/seal.ts";
import { listTags } from "../../../oci/tags.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Context } from "../../context.ts";
import { formatBytes } from "../../format-bytes.ts";
import { printable } from "../../printable.ts";

/** Width of the names of properties. */
const NAME_WIDTH = 10;

/** Prints what a person wants to know about an image or artifact: a property a line. */
export function printSummary({ out, err }: Context, repository: Repository, image: StoredImage): void {
  const { manifest, config } = image;
  const imageConfig = imageConfigOf(image);
  const property = (name: string, value: string | undefined) => {
    if (value !== undefined && value !== "") out.line(`${name.padEnd(NAME_WIDTH)} ${printable(value)}`);
  };
  const warn = (message: string) => err.warning(message);
  const tags = listTags(repository).filter((tag) => tag.manifest === manifest.digest);
  property("Manifest", manifest.digest);
  property("Config", config.digest);
  property("Tags", tags.map(({ name }) => name).join(", "));
  for (const { digest, platforms } of tags.flatMap(
    ({ name }) => readableIndex(repository, name, warn) ?? [],
  )) {
    property("Index", digest);
    property("", platforms.join(", "));
  }
  property("Type", artifactTypeOf(manifest) ?? manifest.mediaType);
  property("Subject", manifest.subject?.digest);
  property("Platform", imageConfig && platformText(imageConfig));
  property("Created", imageConfig?.created);
  property("Size", formatBytes(publishedSize(manifest)));
  for (const text of imageConfig === undefined ? [] : sealTexts(image, imageConfig, repository))
    property("Sealed", text);
  for (const { id, version, bootable, xattrMode } of linkedImageRefs(config.document.namedRefs)) {
    const details = [`format ${version}`, ...(xattrMode === undefined ? [] : [xattrMode])].join(", ");
    property(bootable ? "Bootable" : "EROFS", `${id} (${details})`);
  }
  for (const pair of sortedPairs(imageConfig?.labels ?? new Map())) property("Label", pair);
  for (const pair of sortedPairs(manifest.annotations)) property("Annotation", pair);

  for (const [i, { digest, size, mediaType }] of manifest.layers.entries()) {
    out.line();
    property(`Layer ${i + 1}`, `${formatBytes(size)}, ${mediaType}`);
    property("  digest", digest);
    property("  diff ID", imageConfig?.diffIds[i]);
  }
  for (const referrer of storedReferrers(repository, manifest.digest, warn)) {
    out.line();
    property("Referrer", referrer.digest);
    property("  type", referrer.artifactType);
    property("  size", formatBytes(referrer.contentSize));
    property("  tags", referrer.tags.join(", "));
  }
}

function platformText({ platform: { os, architecture, variant } }: ImageConfig): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

/** What it says of its seals; that one can't be understood is worth a word, too. */
function sealTexts({ manifest }: StoredImage, config: ImageConfig, { algorithm }: Repository): string[] {
  try {
    return sealsOf(manifest, config, algorithm).map(({ id, place }) => `${id} (${place})`);
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return [describeError(error)];
  }
}

function sortedPairs(pairs: ReadonlyMap<string, string>): string[] {
  return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${name}=${value}`);
}
