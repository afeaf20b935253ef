import type { Compression } from "../../compress/sync.ts";
import { CfsError } from "../../errors.ts";
import { pread, read } from "../../sys/file.ts";
import { digestAlgorithm, hasherFor, type OciDigest } from "../digest.ts";

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

/** Reads a blob piece by piece as it was transported, and hashes it. */
export class BlobBytes {
  /** The bytes that were read last are `buffer[at, end)`; who uses some moves `at`. */
  readonly buffer = new Uint8Array(INPUT_STEP);
  at = 0;
  end = 0;
  /** Nothing comes after `buffer[at, end)`. */
  ended = false;
  /** Bytes that were read so far. */
  consumed = 0;
  readonly #location: BlobLocation;
  readonly #options: BlobInputOptions;
  readonly #hash: Bun.CryptoHasher | undefined;

  /** @param isHashed whether the bytes are to be hashed here; else the caller has a hash of them at the end. */
  constructor(location: BlobLocation, options: BlobInputOptions, isHashed: boolean) {
    this.#location = location;
    this.#options = options;
    const { digest } = location;
    if (isHashed && digest !== undefined) this.#hash = hasherFor(digest).hash;
  }

  /** To be called when all of `buffer` was used and the blob has not ended. */
  readMore(): void {
    const { fd, offset, size } = this.#location;
    const { waitForMore, tee } = this.#options;
    let wanted = size === undefined ? INPUT_STEP : Math.min(INPUT_STEP, size - this.consumed);
    if (waitForMore !== undefined && wanted > 0)
      wanted = Math.min(wanted, waitForMore(this.consumed) - this.consumed);
    const buffer = this.buffer.subarray(0, wanted);
    const length = offset === undefined ? read(fd, buffer) : pread(fd, buffer, offset + this.consumed);
    this.at = 0;
    this.end = length;
    this.consumed += length;
    this.ended = length === 0 || this.consumed === size;
    const piece = this.buffer.subarray(0, length);
    this.#hash?.update(piece);
    tee?.(piece);
  }

  /**
   * To be called at the end.
   * @param computed hash of the bytes, in hex, when they were not hashed here.
   * @throws CfsError Corrupt when the blob is cut, too long, or not what its digest says
   */
  verify(computed?: string): void {
    const { size, digest } = this.#location;
    if (size !== undefined && this.consumed !== size)
      throw new CfsError("Corrupt", `Expected size ${size} but found ${this.consumed}`);
    if (digest === undefined) return;
    const found = `${digestAlgorithm(digest)}:${this.#hash?.digest("hex") ?? computed}`;
    if (found === digest) return;
    throw new CfsError("Corrupt", `Blob digest mismatch for ${digest}: computed ${found}`, {
      data: { expected: digest, found },
      hint: "the image is damaged; fetch or copy it again",
    });
  }
}
