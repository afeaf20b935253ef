import { CfsError, describeError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import type { OciDigest } from "./digest.ts";
import { imageConfigOf, openManifest } from "./image.ts";
import { artifactTypeOf, isContainerImage, publishedSize } from "./manifest.ts";
import { listReferrers } from "./referrers.ts";
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
      });
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      onUnreadable(`tag ${name}: ${describeError(error)}`);
    }
  }
  return images;
}
