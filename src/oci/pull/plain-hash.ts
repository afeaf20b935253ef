import { digestAlgorithm, hasherFor, type OciDigest } from "../digest.ts";

/** The hash of a layer's plain bytes: made where they are read, unless somebody else sees to it. */
export class PlainHash {
  readonly algorithm: string;
  #hash: Bun.CryptoHasher | undefined;
  #given: string | undefined;

  /** @param id the diff ID. */
  constructor(id: OciDigest) {
    this.algorithm = digestAlgorithm(id);
    this.#hash = hasherFor(id).hash;
  }

  /** To be called before the first bytes: they are hashed elsewhere, and the result is given before it is asked for. */
  leave(): void {
    this.#hash = undefined;
  }

  /** @param hash in hex. */
  give(hash: string): void {
    this.#given = hash;
  }

  update(bytes: Uint8Array<ArrayBufferLike>): void {
    this.#hash?.update(bytes as Uint8Array<ArrayBuffer>);
  }

  /** To be called once, at the end. @returns hex. */
  digest(): string {
    return this.#given ?? this.#hash!.digest("hex");
  }
}
