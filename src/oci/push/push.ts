import { CfsError, withContext } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import type { OciDigest } from "../digest.ts";
import { openImage, openManifest } from "../image.ts";
import { readStoredIndex } from "../stored-index.ts";
import { type PushedImage, type PushedLayer, type PushOptions, pushBlobs } from "./push-blobs.ts";
import { repackedIndex } from "./repacked-manifest.ts";
import type { PushTarget } from "./target.ts";

export interface PushReport {
  /** Of the manifest as it is published. */
  readonly manifest: OciDigest;
  readonly mediaType: string;
  /** Of the manifest in the repository; the same when nothing had to be compressed anew. */
  readonly original: OciDigest;
  readonly config: OciDigest;
  readonly layers: readonly PushedLayer[];
}

export interface IndexPushReport {
  /** Of the index as it is published. */
  readonly index: OciDigest;
  readonly mediaType: string;
  /** Of the index in the repository. */
  readonly original: OciDigest;
  readonly images: readonly PushReport[];
}

/**
 * Publishes an image of the repository. Everything that the manifest names is there before the manifest.
 * @throws CfsError NotFound, Corrupt; what the target throws
 */
export async function pushImage(
  repository: Repository,
  name: string,
  target: PushTarget,
  options: PushOptions,
): Promise<PushReport> {
  const image = openImage(repository, name);
  const original = image.manifest.digest;
  try {
    const pushed = await pushBlobs(repository, image, target, options);
    await target.publish(pushed.document);
    return reportOf(original, pushed);
  } catch (error) {
    throw withContext(`pushing ${original} to ${target.label}`, error);
  }
}

/**
 * Publishes the images of all platforms that were pulled together, and the index that lists them.
 * @throws CfsError NotFound when there is no index of that tag, or one of its images is missing
 */
export async function pushAllPlatforms(
  repository: Repository,
  tag: string,
  target: PushTarget,
  options: PushOptions,
): Promise<IndexPushReport> {
  const stored = readStoredIndex(repository, tag);
  if (stored === undefined) {
    throw new CfsError("NotFound", `there is no index of the image ${tag}`, {
      hint: "pull it with --all-platforms, or push it without",
    });
  }
  try {
    const pushed = new Map<OciDigest, PushedImage>();
    for (const { digest } of stored.index.manifests) {
      if (pushed.has(digest)) continue;
      const image = await pushBlobs(repository, openManifest(repository, digest), target, options);
      await target.putDocument(image.document);
      pushed.set(digest, image);
    }
    const document = repackedIndex(
      stored,
      new Map([...pushed].map(([digest, image]) => [digest, image.document])),
    );
    await target.publish(document);
    return {
      index: document.digest,
      mediaType: document.mediaType,
      original: stored.digest,
      images: [...pushed].map(([digest, image]) => reportOf(digest, image)),
    };
  } catch (error) {
    throw withContext(`pushing the index ${stored.digest} to ${target.label}`, error);
  }
}

function reportOf(original: OciDigest, { document, config, layers }: PushedImage): PushReport {
  return { manifest: document.digest, mediaType: document.mediaType, original, config, layers };
}
