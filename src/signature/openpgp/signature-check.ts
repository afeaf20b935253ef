import { createHash, createVerify, type Hash, type Verify, verify } from "node:crypto";
import { joinNumbers, type KeyPacket, type SigningAlgorithm, type SigningMaterial } from "./key-packet.ts";
import { padNumber } from "./mpi.ts";
import { readNumbers, type SignaturePacket } from "./signature-packet.ts";

/** Hashes that signatures of data may use (RFC 9580, 9.5). MD5, SHA-1 and RIPEMD-160 are broken or nearly so. */
const STRONG_HASHES: ReadonlyMap<number, string> = new Map([
  [8, "sha256"],
  [9, "sha384"],
  [10, "sha512"],
]);
/**
 * Older keys have signed themselves with SHA-1. Those signatures come with a keyring that the user trusts: whoever
 * forges one needs a second preimage, not a collision.
 */
const SELF_SIGNATURE_HASHES: ReadonlyMap<number, string> = new Map([...STRONG_HASHES, [2, "sha1"]]);

/** Whether the signature speaks of data, or of the key that made it. */
export type Purpose = "data" | "self";

export function hashOf({ hashId }: SignaturePacket, purpose: Purpose): string | undefined {
  return (purpose === "data" ? STRONG_HASHES : SELF_SIGNATURE_HASHES).get(hashId);
}

const ALGORITHM_IDS: Readonly<Record<SigningAlgorithm, readonly number[]>> = {
  rsa: [1, 3],
  ecdsa: [19],
  "eddsa-legacy": [22],
  ed25519: [27],
};

/** Checks one signature with one key, over data that comes in pieces. */
export class SignatureCheck {
  readonly #signature: SignaturePacket;
  readonly #material: SigningMaterial;
  readonly #hash: Hash;
  /** EdDSA signs the hash of the data, the others are given the data. */
  readonly #verify: Verify | undefined;

  private constructor(signature: SignaturePacket, material: SigningMaterial, hash: string) {
    this.#signature = signature;
    this.#material = material;
    this.#hash = createHash(hash);
    this.#verify =
      material.algorithm === "rsa" || material.algorithm === "ecdsa" ? createVerify(hash) : undefined;
  }

  /** @returns undefined when the key can't have made such a signature, or it uses a hash that is not trusted. */
  static start(signature: SignaturePacket, key: KeyPacket, purpose: Purpose): SignatureCheck | undefined {
    const { material } = key;
    const hash = hashOf(signature, purpose);
    if (material === undefined || hash === undefined) return undefined;
    if (!ALGORITHM_IDS[material.algorithm].includes(signature.algorithmId)) return undefined;
    return new SignatureCheck(signature, material, hash);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#verify?.update(bytes);
  }

  /** Whether the signature is of exactly the data that was given. @throws CfsError Invalid */
  isGood(): boolean {
    const { trailer, hashStart } = this.#signature;
    this.update(trailer);
    const digest = this.#hash.digest();
    const signature = this.#readSignature();
    if (signature === undefined || digest[0] !== hashStart[0] || digest[1] !== hashStart[1]) return false;
    const { algorithm, key } = this.#material;
    if (this.#verify === undefined) return verify(null, digest, key, signature);
    return algorithm === "ecdsa"
      ? this.#verify.verify({ key, dsaEncoding: "ieee-p1363" }, signature)
      : this.#verify.verify(key, signature);
  }

  #readSignature(): Uint8Array | undefined {
    const { algorithm, numberSize, key } = this.#material;
    if (algorithm === "ed25519") {
      const { numbers } = this.#signature;
      return numbers.length === 64 ? numbers : undefined;
    }
    if (algorithm === "rsa") {
      const [number] = readNumbers(this.#signature, 1);
      return padNumber(number!, Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8));
    }
    const [r, s] = readNumbers(this.#signature, 2);
    return joinNumbers(r!, s!, algorithm === "ecdsa" ? numberSize : 32);
  }
}
