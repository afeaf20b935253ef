import { MAX_IMAGE_SIZE } from "../erofs/format.ts";
import { CfsError } from "../errors.ts";
import { imageConfigOf, openImage } from "../oci/image.ts";
import { type LinkedImage, linkedImageRefs } from "../oci/image-refs.ts";
import { type Seal, satisfies, sealsOf } from "../oci/seal.ts";
import type { Repository } from "../repository/repository.ts";
import type { ObjectId } from "../verity/digest.ts";

/**
 * The EROFS image that was made of a container image, in the repository's own format if there are several. Of a sealed
 * image, it is the one that the seal means, or none.
 * @param name tag, or digest of the manifest
 * @throws CfsError NotFound; Corrupt when no image matches the seal
 */
export function erofsImageOf(repository: Repository, name: string, bootable: boolean): ObjectId {
  const image = openImage(repository, name);
  const linked = linkedImageRefs(image.config.document.namedRefs);
  const own = repository.erofsVersion === 2 ? 2 : 1;
  const candidates = linked.filter((ref) => ref.bootable === bootable);
  candidates.sort((a, b) => Number(b.version === own) - Number(a.version === own));

  const config = imageConfigOf(image);
  const seals = config === undefined ? [] : sealsOf(image.manifest, config, repository.algorithm);
  const relevant = seals.filter((seal) => seal.bootable === undefined || seal.bootable === bootable);
  if (relevant.length > 0) return sealedImage(repository, name, candidates, relevant, linked);
  const [found] = candidates;
  if (found !== undefined) return found.id;
  throw bootable
    ? new CfsError("NotFound", `${name} has no bootable EROFS image`, { hint: "pull it with --bootable" })
    : new CfsError("NotFound", `${name} has no EROFS image`, { hint: "pull it again" });
}

function sealedImage(
  repository: Repository,
  name: string,
  candidates: readonly LinkedImage[],
  seals: readonly Seal[],
  linked: readonly LinkedImage[],
): ObjectId {
  const found = candidates.find((image) => seals.some((seal) => satisfies(image, seal)));
  if (found !== undefined) {
    // Where the kernel does not measure it, we do.
    if (!repository.secure) repository.objects.read(found.id, MAX_IMAGE_SIZE);
    return found.id;
  }
  const [{ id, place }] = seals as [Seal];
  const other = linked.find((image) => seals.some((seal) => satisfies(image, seal)));
  const hint =
    other === undefined ? "pull it again" : `mount it with${other.bootable ? "" : "out"} --bootable`;
  throw new CfsError("Corrupt", `${name} is sealed: only the EROFS image ${id} may be mounted (${place})`, {
    hint,
  });
}
