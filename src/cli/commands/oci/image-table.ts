import { CfsError, describeError } from "../../../errors.ts";
import { imageConfigOf, type StoredImage } from "../../../oci/image.ts";
import { linkedImageRefs } from "../../../oci/image-refs.ts";
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

/** Prints what a person wants to know about an image or artifact. */
export function printImage({ out, err }: Context, repository: Repository, image: StoredImage): void {
  const { manifest, config } = image;
  const imageConfig = imageConfigOf(image);
  const property = (name: string, value: string | undefined) => {
    if (value !== undefined && value !== "") out.line(`${name.padEnd(NAME_WIDTH)} ${printable(value)}`);
  };
  const platform = imageConfig?.platform;
  const tags = listTags(repository).filter((tag) => tag.manifest === manifest.digest);
  property("Manifest", manifest.digest);
  property("Config", config.digest);
  property("Tags", tags.map(({ name }) => name).join(", "));
  property("Type", artifactTypeOf(manifest) ?? manifest.mediaType);
  property("Subject", manifest.subject?.digest);
  property(
    "Platform",
    platform && [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/"),
  );
  property("Created", imageConfig?.created);
  property("Size", formatBytes(publishedSize(manifest)));
  for (const seal of imageConfig === undefined
    ? []
    : sealTexts(() => sealsOf(manifest, imageConfig, repository.algorithm)))
    property("Sealed", seal);

  const diffIds = imageConfig?.diffIds ?? [];
  section(
    "Layers",
    ["DIFF ID", "DIGEST", "SIZE", "TYPE"],
    manifest.layers.map(({ digest, size, mediaType }, i) => [
      diffIds[i] ?? "-",
      digest,
      formatBytes(size),
      mediaType,
    ]),
  );
  section(
    "EROFS images",
    ["DIGEST", "FORMAT", "BOOTABLE", "XATTRS"],
    linkedImageRefs(config.document.namedRefs).map(({ id, version, bootable, xattrMode }) => [
      id,
      String(version),
      bootable ? "yes" : "no",
      xattrMode ?? "-",
    ]),
  );
  section("Labels", ["NAME", "VALUE"], sortedPairs(imageConfig?.labels ?? new Map()));
  section("Annotations", ["NAME", "VALUE"], sortedPairs(manifest.annotations));
  const referrers = storedReferrers(repository, manifest.digest, (message) => err.warning(message));
  section(
    "Referrers",
    ["DIGEST", "TYPE", "SIZE", "TAGS"],
    referrers.map(({ digest, artifactType, contentSize, tags }) => [
      digest,
      artifactType,
      formatBytes(contentSize),
      tags.join(", "),
    ]),
  );

  function section(title: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
    if (rows.length === 0) return;
    out.line();
    out.line(title);
    out.table(header, rows);
  }
}

/** What it says of its seals; a seal that can't be understood is worth a word, too. */
function sealTexts(seals: () => ReturnType<typeof sealsOf>): string[] {
  try {
    return seals().map(({ id, place }) => `${id} (${place})`);
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return [describeError(error)];
  }
}

function sortedPairs(pairs: ReadonlyMap<string, string>): [string, string][] {
  return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));
}
