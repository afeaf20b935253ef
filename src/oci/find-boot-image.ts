import { CfsError, withContext } from "../errors.ts";
import { storeImageIf } from "../repository/images.ts";
import type { Repository } from "../repository/repository.ts";
import type { XattrFilter } from "../tree/transform.ts";
import type { ObjectId } from "../verity/digest.ts";
import { addImage } from "./commit.ts";
import type { OciDigest } from "./digest.ts";
import { openManifest, parseStoredConfig } from "./image.ts";
import { findImageRef, linkedImageRefs } from "./image-refs.ts";
import { imageTree } from "./image-tree.ts";
import { isContainerImage } from "./manifest.ts";

const MODES: readonly XattrFilter[] = ["allowlist-only", "keep-user-xattrs"];
const VERSIONS = [1, 2] as const;

/** How many combinations there are. */
export const BOOT_COMBINATIONS = MODES.length * VERSIONS.length;

/** How a bootable image was made. */
export interface BootImage {
  readonly id: ObjectId;
  readonly xattrMode: XattrFilter;
  readonly version: 1 | 2;
}

/**
 * Finds out how the bootable image of a digest is made of a container image, and links it. What is linked already is
 * looked at first.
 * @param digest of a manifest in the repository.
 * @returns undefined when no combination of xattrs and format gives this digest.
 */
export function findBootImage(
  repository: Repository,
  digest: OciDigest,
  expected: ObjectId,
): BootImage | undefined {
  const { manifest, config } = openManifest(repository, digest);
  if (!isContainerImage(manifest))
    throw new CfsError("Invalid", "this is an artifact, of which no EROFS image is made");
  for (const { id, bootable, xattrMode, version } of linkedImageRefs(config.document.namedRefs)) {
    if (bootable && id === expected) return { id, xattrMode: xattrMode!, version };
  }
  for (const xattrMode of MODES) {
    const root = bootableTree(repository, `@${config.digest}`, config.document.id, xattrMode);
    for (const version of VERSIONS) {
      if (storeImageIf(repository, root, version, (id) => id === expected) === undefined) continue;
      const ref = findImageRef(version, true, xattrMode);
      addImage(repository, manifest, parseStoredConfig(config), { ...ref, id: expected });
      return { id: expected, xattrMode, version };
    }
  }
  return undefined;
}

function bootableTree(repository: Repository, name: string, configStream: ObjectId, xattrs: XattrFilter) {
  try {
    return imageTree(repository, name, { xattrs, bootable: true, configStream });
  } catch (error) {
    throw withContext("looking for a bootable image", error);
  }
}
