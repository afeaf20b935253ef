import { CfsError, describeError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import type { OciDigest } from "./digest.ts";
import { imageConfigOf, openManifest } from "./image.ts";
import { artifactTypeOf, isContainerImage, publishedSize } from "./manifest.ts";
import { formatPlatform, isNoPlatform } from "./platform.ts";
import { listReferrers } from "./referrers.ts";
import { readStoredIndex } from "./stored-index.ts";
import { listTags } from "./tags.ts";

/** A tagged image. */
export interface ListedImage {
  readonly name: string;
  readonly manifestDigest: OciDigest;
  readonly isContainer: boolean;
  /** Empty for artifacts. */
  readonly architecture: string;
  readonly os: string;
  /** As in the config, RFC 3339. */
  readonly created: string | undefined;
  readonly layerCount: number;
  readonly referrerCount: number;
  readonly configDigest: OciDigest;
  readonly mediaType: string;
  /** Of the architecture. */
  readonly variant: string | undefined;
  /** Of artifacts: what the manifest says, else the media type of the config. */
  readonly artifactType: string | undefined;
  /** The manifest that this one refers to. */
  readonly subject: OciDigest | undefined;
  /** Bytes of config and layers together, as they were published. */
  readonly size: number;
  /** What the image was pulled with, when that is kept: an index of images for several platforms. */
  readonly index: ListedIndex | undefined;
}

export interface ListedIndex {
  readonly digest: OciDigest;
  /** `OS/ARCH[/VARIANT]` of its images, in its order. */
  readonly platforms: readonly string[];
}

/**
 * The tagged images, sorted by name.
 * @param onUnreadable is told about images that are left out because they are damaged.
 */
export function listTaggedImages(
  repository: Repository,
  onUnreadable: (message: string) => void,
): ListedImage[] {
  const referrers = listReferrers(repository);
  const images: ListedImage[] = [];
  for (const { name, manifest: digest } of listTags(repository)) {
    try {
      if (digest === undefined) throw new CfsError("Corrupt", "it does not point to a manifest");
      const image = openManifest(repository, digest);
      const { manifest } = image;
      const config = imageConfigOf(image);
      images.push({
        name,
        manifestDigest: digest,
        isContainer: isContainerImage(manifest),
        architecture: config?.platform.architecture ?? "",
        os: config?.platform.os ?? "",
        created: config?.created,
        layerCount: manifest.layers.length,
        referrerCount: referrers.get(digest)?.length ?? 0,
        configDigest: manifest.config.digest,
        mediaType: manifest.mediaType,
        variant: config?.platform.variant,
        artifactType: artifactTypeOf(manifest),
        subject: manifest.subject?.digest,
        size: publishedSize(manifest),
        index: readableIndex(repository, name, onUnreadable),
      });
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      onUnreadable(`tag ${name}: ${describeError(error)}`);
    }
  }
  return images;
}

/**
 * As `indexOf`: a damaged index is no reason to leave out the image.
 * @param onUnreadable is told of it.
 */
export function readableIndex(
  repository: Repository,
  tag: string,
  onUnreadable: (message: string) => void,
): ListedIndex | undefined {
  try {
    return indexOf(repository, tag);
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    onUnreadable(`index of tag ${tag}: ${describeError(error)}`);
    return undefined;
  }
}

/** The index that is kept with a tag. @throws CfsError NotFound, Corrupt */
export function indexOf(repository: Repository, tag: string): ListedIndex | undefined {
  const stored = readStoredIndex(repository, tag);
  if (stored === undefined) return undefined;
  const platforms = stored.index.manifests.flatMap(({ platform }) =>
    platform === undefined || isNoPlatform(platform) ? [] : [formatPlatform(platform)],
  );
  return { digest: stored.digest, platforms };
}
