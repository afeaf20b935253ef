import { CfsError } from "../errors.ts";
import { openImage } from "../oci/image.ts";
import { IMAGE_REFS } from "../oci/image-refs.ts";
import type { Repository } from "../repository/repository.ts";
import type { ObjectId } from "../verity/digest.ts";

/**
 * The EROFS image that was made of a container image, in the repository's own format if there are several.
 * @param name tag, or digest of the manifest
 * @throws CfsError NotFound
 */
export function erofsImageOf(repository: Repository, name: string, bootable: boolean): ObjectId {
  const { namedRefs } = openImage(repository, name).config.document;
  const own = repository.erofsVersion === 2 ? 2 : 1;
  const candidates = IMAGE_REFS.filter((ref) => ref.bootable === bootable);
  candidates.sort((a, b) => Number(b.version === own) - Number(a.version === own));
  for (const ref of candidates) {
    const id = namedRefs.get(ref.name);
    if (id !== undefined) return id;
  }
  throw bootable
    ? new CfsError("NotFound", `${name} has no bootable EROFS image`)
    : new CfsError("NotFound", `${name} has no EROFS image`, { hint: "pull it again" });
}
