import { CfsError } from "../errors.ts";
import { type Algorithm, isObjectId, type ObjectId, SHA256, SHA512 } from "../verity/digest.ts";
import type { ImageConfig } from "./config.ts";
import type { LinkedImage } from "./image-refs.ts";
import type { Manifest } from "./manifest.ts";

/** Label of a config with the digest of the EROFS image of its layers. */
export const SEAL_LABEL = "containers.composefs.fsverity";

/** What an image says about the EROFS image that is made of it. */
export interface Seal {
  readonly id: ObjectId;
  /** Whether it is the bootable form; undefined when it may be either. */
  readonly bootable: boolean | undefined;
  /** Where it says so, for messages. */
  readonly place: string;
}

/**
 * The seals of an image: the label of its config, and annotations of its manifest in the names of the composefs
 * sealing specification (`composefs.merged.erofs.v1.fsverity-sha256-12`). Annotations for the other algorithm don't
 * concern the repository.
 * @throws CfsError Invalid for what is no digest, Unsupported for a label that only a repository of the other
 *   algorithm can verify
 */
export function sealsOf(manifest: Manifest, config: ImageConfig, algorithm: Algorithm): Seal[] {
  const seals: Seal[] = [];
  const label = config.labels.get(SEAL_LABEL);
  if (label !== undefined) {
    const place = `label ${SEAL_LABEL}`;
    seals.push({ id: labelDigest(label, algorithm, place), bootable: undefined, place });
  }
  for (const bootable of [false, true]) {
    const key = `composefs.merged${bootable ? ".bootable" : ""}.erofs.v1.fsverity-${algorithm.hash}-12`;
    const value = manifest.annotations.get(key);
    if (value === undefined) continue;
    const place = `annotation ${key}`;
    if (!isObjectId(value, algorithm)) throw noDigest(place, value);
    seals.push({ id: value, bootable, place });
  }
  return seals;
}

function labelDigest(value: string, algorithm: Algorithm, place: string): ObjectId {
  if (isObjectId(value, algorithm)) return value;
  const other = algorithm === SHA256 ? SHA512 : SHA256;
  if (!isObjectId(value, other)) throw noDigest(place, value);
  throw new CfsError(
    "Unsupported",
    `the image is sealed with a digest of ${other.id} (${place}), which a repository of ${algorithm.id} can't verify`,
    { hint: `use a repository made with \`cfsctl init --algorithm ${other.id}\`` },
  );
}

function noDigest(place: string, value: string): CfsError {
  return new CfsError(
    "Invalid",
    `the ${place} is no fs-verity digest in hex: ${JSON.stringify(value.slice(0, 200))}`,
  );
}

/** Whether an image is the one that a seal means. */
export function satisfies({ id, bootable }: Pick<LinkedImage, "id" | "bootable">, seal: Seal): boolean {
  return id === seal.id && (seal.bootable === undefined || seal.bootable === bootable);
}
