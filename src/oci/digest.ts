import { createHash } from "node:crypto";
import { CfsError } from "../errors.ts";

/** `algorithm:encoded` of the OCI image specification (descriptor.md): the hash of a blob's bytes. */
export type OciDigest = string & { readonly __ociDigest: never };

const HEX_LENGTHS: ReadonlyMap<string, number> = new Map([
  ["sha256", 64],
  ["sha384", 96],
  ["sha512", 128],
]);

/**
 * Checks the syntax of a digest. Algorithms other than sha256, sha384 and sha512 are let through.
 * @throws CfsError Usage, in the words that existing scripts may know.
 */
export function parseDigest(text: string): OciDigest {
  const colon = text.indexOf(":");
  if (colon < 0) throw bad("missing ':' in digest");
  const algorithm = text.slice(0, colon);
  const encoded = text.slice(colon + 1);
  if (encoded === "") throw bad("Empty algorithm value");
  for (const component of algorithm.split(/[+._-]/)) {
    if (component === "") throw bad("Empty algorithm component");
    if (!/^[a-z0-9]+$/.test(component)) throw bad(`Invalid algorithm component ${component}`);
  }
  const length = HEX_LENGTHS.get(algorithm);
  if (length === undefined) {
    if (!/^[A-Za-z0-9=_-]+$/.test(encoded)) throw bad(`Invalid encoded value ${encoded}`);
    return text as OciDigest;
  }
  if (encoded.length !== length) throw bad(`Invalid digest length ${encoded.length} expected ${length}`);
  if (!/^[0-9a-f]+$/.test(encoded)) throw bad(`Invalid non-hexadecimal character in digest: ${encoded}`);
  return text as OciDigest;
}

function bad(message: string): CfsError {
  return new CfsError("Usage", message);
}

export function isDigest(text: string): text is OciDigest {
  try {
    parseDigest(text);
    return true;
  } catch {
    return false;
  }
}

export function digestAlgorithm(digest: OciDigest): string {
  return digest.slice(0, digest.indexOf(":"));
}

export function digestHex(digest: OciDigest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** Whether blobs can be checked against digests of this algorithm. */
export function isSupportedAlgorithm(algorithm: string): boolean {
  return HEX_LENGTHS.has(algorithm);
}

/**
 * @param what for the message: "Blob", …
 * @throws CfsError Unsupported for an algorithm that isn't known, or not safe.
 */
export function requireSupported(digest: OciDigest, what: string): string {
  const algorithm = digestAlgorithm(digest);
  if (isSupportedAlgorithm(algorithm)) return algorithm;
  throw new CfsError("Unsupported", `${what} digest algorithm ${algorithm} is not supported`);
}

/** An incremental hash for a digest. @throws CfsError Unsupported for an algorithm we don't know. */
export function hasherFor(digest: OciDigest): { algorithm: string; hash: Bun.CryptoHasher } {
  const algorithm = requireSupported(digest, "Blob");
  return { algorithm, hash: new Bun.CryptoHasher(algorithm as Bun.SupportedCryptoAlgorithms) };
}

/** Digest of bytes in memory. @param algorithm sha256, sha384 or sha512. */
export function computeDigest(bytes: Uint8Array, algorithm = "sha256"): OciDigest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as OciDigest;
}

/**
 * @param what for the message: "Blob", "Manifest", …
 * @throws CfsError Unsupported for an algorithm we don't know, Corrupt when the bytes are others.
 */
export function verifyDigest(bytes: Uint8Array, expected: OciDigest, what: string): void {
  const algorithm = requireSupported(expected, what);
  const computed = computeDigest(bytes, algorithm);
  if (computed !== expected) {
    throw new CfsError("Corrupt", `${what} digest mismatch for ${expected}: computed ${computed}`, {
      hint: "the image is damaged; fetch or copy it again",
      data: { expected, found: computed },
    });
  }
}
