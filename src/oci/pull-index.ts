import { CfsError, withContext } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import type { Descriptor } from "./descriptor.ts";
import type { OciDigest } from "./digest.ts";
import { parseIndex } from "./index.ts";
import { isDelta, MAX_MANIFEST_SIZE, parseManifest } from "./manifest.ts";
import { isManifestType } from "./media-types.ts";
import { isNoPlatform, type Platform } from "./platform.ts";
import { noStatistics, type SplitStatistics } from "./pull/layer-splitter.ts";
import { type PullOptions, type PullReport, pullManifest } from "./pull/pull.ts";
import type { FoundManifest, ImageSource, PublishedDocument } from "./source.ts";
import { storeIndex } from "./stored-index.ts";
import { checkTagName, writeTag } from "./tags.ts";

/** More images than there are platforms are no index of one image. */
const MAX_IMAGES = 1000;

/** One of the images of an index. */
export interface PulledImage extends PullReport {
  /** As the index says; undefined when it does not, or for what is no image. */
  readonly platform: Platform | undefined;
}

export interface IndexReport {
  /** undefined when the source has a lone image. */
  readonly index: OciDigest | undefined;
  /** What the tag names, with the statistics of all. */
  readonly tagged: PullReport;
  /** In the order of the index. */
  readonly images: readonly PulledImage[];
}

/**
 * Brings all images of an index into the repository, and whatever else it lists (attestations, …) as artifacts; then
 * the tag, which names the image that the source would choose, and the index, which is kept as long as the tag.
 */
export async function pullAllPlatforms(
  repository: Repository,
  source: ImageSource,
  options: PullOptions = {},
): Promise<IndexReport> {
  const { tag, ...untagged } = options;
  if (tag !== undefined) checkTagName(tag);
  repository.ensureWritable();
  const chosen = await source.manifest();
  if (chosen.index === undefined || isDelta(parseManifest(chosen.bytes))) {
    const tagged = await pullManifest(repository, source, chosen, options);
    return { index: undefined, tagged, images: [{ ...tagged, platform: undefined }] };
  }

  const images: PulledImage[] = [];
  for (const descriptor of imagesOf(chosen.index, source.label)) {
    const published = await publishedManifest(source, descriptor, chosen);
    // Deltas are not for keeping.
    if (isDelta(parseManifest(published.bytes))) continue;
    const report = await pullManifest(repository, source, published, untagged);
    const { platform } = descriptor;
    images.push({
      ...report,
      platform: platform === undefined || isNoPlatform(platform) ? undefined : platform,
    });
  }
  if (tag !== undefined) {
    writeTag(repository, chosen.digest, tag);
    storeIndex(repository, tag, chosen.index);
  }
  const own = images.find(({ manifest }) => manifest === chosen.digest)!;
  const { platform: _, ...report } = own;
  return {
    index: chosen.index.digest,
    tagged: {
      ...report,
      tag,
      statistics: images.map(({ statistics }) => statistics).reduce(addStatistics, noStatistics()),
      unchanged: images.every(({ unchanged }) => unchanged),
    },
    images,
  };
}

/** What an index lists, each manifest once. @throws CfsError Invalid, Unsupported */
function imagesOf({ bytes }: PublishedDocument, label: string): Descriptor[] {
  try {
    const { manifests } = parseIndex(bytes);
    const byDigest = new Map(manifests.map((descriptor) => [descriptor.digest, descriptor]));
    if (byDigest.size > MAX_IMAGES) {
      throw new CfsError(
        "Unsupported",
        `the index has ${byDigest.size} manifests; at most ${MAX_IMAGES} are pulled`,
      );
    }
    for (const { mediaType, digest } of byDigest.values()) {
      if (!isManifestType(mediaType))
        throw new CfsError(
          "Unsupported",
          `the index lists ${digest} of media type ${mediaType}, which is no manifest`,
        );
    }
    return [...byDigest.values()];
  } catch (error) {
    throw withContext(label, error);
  }
}

async function publishedManifest(
  source: ImageSource,
  descriptor: Descriptor,
  chosen: FoundManifest,
): Promise<PublishedDocument> {
  const { digest, mediaType } = descriptor;
  if (digest === chosen.digest) return chosen;
  return { bytes: await source.readDocument(descriptor, MAX_MANIFEST_SIZE, "Manifest"), digest, mediaType };
}

function addStatistics(a: SplitStatistics, b: SplitStatistics): SplitStatistics {
  return {
    newObjects: a.newObjects + b.newObjects,
    presentObjects: a.presentObjects + b.presentObjects,
    storedBytes: a.storedBytes + b.storedBytes,
    inlinedBytes: a.inlinedBytes + b.inlinedBytes,
  };
}
