import { CfsError } from "../errors.ts";
import { MAX_ENTRIES, openCategory } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { listDirectory } from "../sys/dir.ts";
import type { ObjectId } from "../verity/digest.ts";
import { isDigest } from "./digest.ts";
import { openManifest } from "./image.ts";
import { type LinkedImage, linkedImageRefs } from "./image-refs.ts";
import { MANIFEST_PREFIX } from "./streams.ts";

/**
 * All EROFS images of the first container image, tagged or not, that one of them belongs to.
 * @throws CfsError NotFound
 */
export function linkedImages(repository: Repository, id: ObjectId): LinkedImage[] {
  for (const name of streamNames(repository)) {
    const digest = name.startsWith(MANIFEST_PREFIX) ? name.slice(MANIFEST_PREFIX.length) : "";
    if (!isDigest(digest)) continue;
    try {
      const linked = linkedImageRefs(openManifest(repository, digest).config.document.namedRefs);
      if (linked.some((image) => image.id === id)) return linked;
    } catch (error) {
      // A damaged image must not hide another one.
      if (!(error instanceof CfsError)) throw error;
    }
  }
  throw new CfsError("NotFound", `image not found: ${id}`);
}

function streamNames(repository: Repository): string[] {
  using streams = openCategory(repository, "streams");
  if (streams === undefined) return [];
  return listDirectory(streams, MAX_ENTRIES)
    .map(({ name }) => name)
    .sort();
}
