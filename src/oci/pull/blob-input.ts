import { type Decompressor, decompressor } from "../../compress/sync.ts";
import { CfsError } from "../../errors.ts";
import { digestAlgorithm, type OciDigest } from "../digest.ts";
import { BlobBytes, type BlobInputOptions, type BlobLocation } from "./blob-bytes.ts";
import type { LayerInput } from "./layer-input.ts";
import { PlainHash } from "./plain-hash.ts";

/** Reads a blob, hashes it as it was transported, decompresses it, and hashes the plain bytes too. */
export class BlobInput implements LayerInput {
  readonly #blob: BlobBytes;
  readonly #decoder: Decompressor;
  #drained = false;
  readonly plain: PlainHash;

  /** @param id digest of the plain bytes: the diff ID. */
  constructor(location: BlobLocation, id: OciDigest, options: BlobInputOptions = {}) {
    const { digest, compression } = location;
    this.#decoder = decompressor(compression);
    this.plain = new PlainHash(id);
    // An uncompressed layer is its own plain form: one hash does for both.
    const isSame =
      compression === "none" && digest !== undefined && digestAlgorithm(digest) === digestAlgorithm(id);
    this.#blob = new BlobBytes(location, options, !isSame);
  }

  get consumed(): number {
    return this.#blob.consumed;
  }

  fill(target: Uint8Array<ArrayBufferLike>, start: number, end: number): number {
    const blob = this.#blob;
    let at = start;
    while (at < end && !this.#drained) {
      if (blob.at === blob.end && !blob.ended) blob.readMore();
      this.#decoder.step(blob.buffer, blob.at, blob.end, target, at, end);
      const { consumed, produced } = this.#decoder;
      blob.at += consumed;
      at += produced;
      if (consumed === 0 && produced === 0 && blob.at < blob.end)
        throw new CfsError("Corrupt", "garbage in the compressed data");
      this.#drained = blob.ended && blob.at === blob.end && produced === 0;
    }
    if (at > start) this.plain.update(target.subarray(start, at));
    return at;
  }

  /** @throws CfsError Corrupt when the blob is cut, too long, or not what its digest says. */
  finish(): string {
    this.#decoder.finish();
    const plain = this.plain.digest();
    this.#blob.verify(plain);
    return plain;
  }

  close(): void {
    this.#decoder.close();
  }
}
