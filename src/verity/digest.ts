import { CfsError } from "../errors.ts";

/** fs-verity hash of a repository; blocks are always 4096 bytes, without salt. */
export type HashName = "sha256" | "sha512";

/** Lower-case hex of an fs-verity digest: the name of an object. 64 or 128 characters. */
export type ObjectId = string & { readonly __objectId: never };

export interface Algorithm {
  readonly hash: HashName;
  /** The kernel's number: 1 or 2. */
  readonly kernelId: 1 | 2;
  /** Digest length in bytes: 32 or 64. */
  readonly size: 32 | 64;
  /** As written in meta.json. */
  readonly id: "fsverity-sha256-12" | "fsverity-sha512-12";
}

export const SHA256: Algorithm = { hash: "sha256", kernelId: 1, size: 32, id: "fsverity-sha256-12" };
export const SHA512: Algorithm = { hash: "sha512", kernelId: 2, size: 64, id: "fsverity-sha512-12" };

export function algorithmOf(hash: HashName): Algorithm {
  return hash === "sha256" ? SHA256 : SHA512;
}

/**
 * Parses the hex form of an object id; upper case is accepted and lowered.
 * @throws CfsError Invalid when the length or a character is wrong.
 */
export function parseObjectId(hex: string, algorithm: Algorithm): ObjectId {
  if (/^[0-9a-f]*$/.test(hex) && hex.length === algorithm.size * 2) return hex as ObjectId;
  if (hex.length % 2 === 1) throw new CfsError("Invalid", "Odd number of digits");
  const bad = hex.search(/[^0-9a-fA-F]/);
  if (bad >= 0) throw new CfsError("Invalid", `Invalid character '${hex[bad]}' at position ${bad}`);
  if (hex.length !== algorithm.size * 2) throw new CfsError("Invalid", "Invalid string length");
  return hex.toLowerCase() as ObjectId;
}

export function isObjectId(hex: string, algorithm: Algorithm): hex is ObjectId {
  return hex.length === algorithm.size * 2 && /^[0-9a-f]+$/.test(hex);
}

/** `xx/rest`: where the object lies below `objects/`. */
export function objectPath(id: ObjectId): string {
  return `${id.slice(0, 2)}/${id.slice(2)}`;
}

/** `sha256:HEX` or `sha512:HEX`: the form printed by commands that name an object. */
export function formatObjectId(id: ObjectId, algorithm: Algorithm): string {
  return `${algorithm.hash}:${id}`;
}
