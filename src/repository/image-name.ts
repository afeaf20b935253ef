import { CfsError } from "../errors.ts";
import { isObjectId, type ObjectId } from "../verity/digest.ts";
import { lookUpImage } from "./images.ts";
import type { Repository } from "./repository.ts";

/**
 * Object of the image that a user means.
 * @param name HEX, `sha256:HEX`, `sha512:HEX`, `refs/NAME`, or the NAME of a ref when it has no `/`.
 * @throws CfsError NotFound; Invalid for a digest of another algorithm than the repository's
 */
export function findImage(repository: Repository, name: string): ObjectId {
  const { algorithm } = repository;
  const [, hash, hex] = /^(sha256|sha512):([0-9a-f]+)$/.exec(name) ?? [];
  if (hash !== undefined && hash !== algorithm.hash) {
    throw new CfsError("Invalid", `the repository's digests are ${algorithm.hash}, not ${hash}`);
  }
  const wanted = hex ?? name;
  const found = lookUpImage(repository, wanted);
  if (isObjectId(wanted, algorithm) && wanted !== found) {
    throw new CfsError("Corrupt", `images/${wanted} points to another image than its name says`, {
      hint: "remove this link and create the image again",
    });
  }
  return found;
}
