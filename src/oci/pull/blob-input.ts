import { type Compression, type Decompressor, decompressor } from "../../compress/sync.ts";
import { CfsError } from "../../errors.ts";
import { pread, read } from "../../sys/file.ts";
import { digestAlgorithm, hasherFor, type OciDigest } from "../digest.ts";
import type { LayerInput } from "./layer-input.ts";

/** The bytes of a blob as they were transported: a file, a member of an archive, or a pipe. */
export interface BlobLocation {
  readonly fd: number;
  /** Where the blob begins in the file; undefined to read on from the current position until the end. */
  readonly offset: number | undefined;
  /** Bytes; undefined when only the end of the input tells. */
  readonly size: number | undefined;
  /** Undefined when nothing vouches for the transported bytes. */
  readonly digest: OciDigest | undefined;
  readonly compression: Compression;
}

const INPUT_STEP = 256 * 1024;

export interface BlobInputOptions {
  /** For a file that is still growing: waits until it has more bytes of the blob than that, and tells how many. */
  readonly waitForMore?: (than: number) => number;
  /** Gets the bytes of the blob as they were transported, in pieces that are valid until it returns. */
  readonly tee?: (piece: Uint8Array<ArrayBuffer>) => void;
}

/** Reads a blob, hashes it as it was transported, decompresses it, and hashes the plain bytes too. */
export class BlobInput implements LayerInput {
  readonly #location: BlobLocation;
  readonly #decoder: Decompressor;
  readonly #input = new Uint8Array(INPUT_STEP);
  #inputAt = 0;
  #inputEnd = 0;
  #inputEnded = false;
  #drained = false;
  readonly #transportHash: Bun.CryptoHasher | undefined;
  readonly #plainHash: Bun.CryptoHasher;
  readonly #waitForMore: ((than: number) => number) | undefined;
  readonly #tee: ((piece: Uint8Array<ArrayBuffer>) => void) | undefined;
  consumed = 0;

  /** @param id digest of the plain bytes: the diff ID. */
  constructor(location: BlobLocation, id: OciDigest, options: BlobInputOptions = {}) {
    this.#location = location;
    this.#waitForMore = options.waitForMore;
    this.#tee = options.tee;
    this.#decoder = decompressor(location.compression);
    const { digest, compression } = location;
    this.#plainHash = hasherFor(id).hash;
    // An uncompressed layer is its own plain form: one hash does for both.
    const isSame =
      digest === undefined || (compression === "none" && digestAlgorithm(digest) === digestAlgorithm(id));
    if (!isSame) this.#transportHash = hasherFor(digest).hash;
  }

  fill(target: Uint8Array<ArrayBufferLike>, start: number, end: number): number {
    let at = start;
    while (at < end && !this.#drained) {
      if (this.#inputAt === this.#inputEnd && !this.#inputEnded) this.#readMore();
      this.#decoder.step(this.#input, this.#inputAt, this.#inputEnd, target, at, end);
      this.#inputAt += this.#decoder.consumed;
      at += this.#decoder.produced;
      const stuck = this.#decoder.consumed === 0 && this.#decoder.produced === 0;
      if (stuck && this.#inputAt < this.#inputEnd)
        throw new CfsError("Corrupt", "garbage in the compressed data");
      this.#drained = this.#inputEnded && this.#inputAt === this.#inputEnd && this.#decoder.produced === 0;
    }
    if (at > start) this.#plainHash.update(target.subarray(start, at) as Uint8Array<ArrayBuffer>);
    return at;
  }

  /** @throws CfsError Corrupt when the blob is cut, too long, or not what its digest says. */
  finish(): string {
    this.#decoder.finish();
    const { size, digest } = this.#location;
    if (size !== undefined && this.consumed !== size) {
      throw new CfsError("Corrupt", `Expected size ${size} but found ${this.consumed}`);
    }
    const plain = this.#plainHash.digest("hex");
    if (digest !== undefined) {
      const computed = `${digestAlgorithm(digest)}:${this.#transportHash?.digest("hex") ?? plain}`;
      if (computed !== digest) {
        throw new CfsError("Corrupt", `Blob digest mismatch for ${digest}: computed ${computed}`, {
          data: { expected: digest, found: computed },
          hint: "the image is damaged; fetch or copy it again",
        });
      }
    }
    return plain;
  }

  close(): void {
    this.#decoder.close();
  }

  #readMore(): void {
    const { fd, offset, size } = this.#location;
    let wanted = size === undefined ? INPUT_STEP : Math.min(INPUT_STEP, size - this.consumed);
    if (this.#waitForMore !== undefined && wanted > 0) {
      wanted = Math.min(wanted, this.#waitForMore(this.consumed) - this.consumed);
    }
    const buffer = this.#input.subarray(0, wanted);
    const length = offset === undefined ? read(fd, buffer) : pread(fd, buffer, offset + this.consumed);
    this.#inputAt = 0;
    this.#inputEnd = length;
    this.consumed += length;
    this.#inputEnded = length === 0 || this.consumed === size;
    this.#transportHash?.update(this.#input.subarray(0, length));
    this.#tee?.(this.#input.subarray(0, length));
  }
}
