import { withContext } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import type { OciDigest } from "../digest.ts";
import { openImage } from "../image.ts";
import { type PushedLayer, type PushOptions, pushBlobs } from "./push-blobs.ts";
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
  try {
    const { document, config, layers } = await pushBlobs(repository, image, target, options);
    await target.publish(document);
    const { digest, mediaType } = document;
    return { manifest: digest, mediaType, original: image.manifest.digest, config, layers };
  } catch (error) {
    throw withContext(`pushing ${image.manifest.digest} to ${target.label}`, error);
  }
}
