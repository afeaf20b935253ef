import { MAX_ADD_DATA, MAX_NAME, Op } from "./format.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/** Of a number of 53 bits, with its operation. */
const MAX_HEAD = 9;
const BUFFER_SIZE = 64 * 1024;

/**
 * Writes operations of a tar-diff, without the zstd frames around them. Seeks are made where they are needed, and
 * operations that would be too large are split.
 */
export class OperationWriter {
  readonly #sink: (piece: Uint8Array) => void;
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  #filled = 0;
  /** Where the open file is read. */
  #position = 0;

  /** @param sink gets the operations, in pieces that are valid until it returns. */
  constructor(sink: (piece: Uint8Array) => void) {
    this.#sink = sink;
  }

  data(bytes: Bytes): void {
    if (bytes.length === 0) return;
    this.#head(Op.Data, bytes.length);
    this.#payload(bytes);
  }

  /** @param path below the root of the source image, in UTF-8. */
  open(path: Bytes): void {
    if (path.length === 0 || path.length > MAX_NAME) throw new RangeError("no name of a source file");
    this.#head(Op.Open, path.length);
    this.#payload(path);
    this.#position = 0;
  }

  /** Takes bytes of the open file from `start` on. */
  copy(start: number, length: number): void {
    if (length === 0) return;
    this.#seek(start);
    this.#head(Op.Copy, length);
    this.#position += length;
  }

  /** @param differences to what the open file has from `start` on, byte by byte (mod 256). */
  addData(start: number, differences: Bytes): void {
    for (let at = 0; at < differences.length; at += MAX_ADD_DATA) {
      const piece = differences.subarray(at, at + MAX_ADD_DATA);
      this.#seek(start + at);
      this.#head(Op.AddData, piece.length);
      this.#payload(piece);
      this.#position += piece.length;
    }
  }

  /**
   * Version 2 only.
   * @param frame of zstd, made with the whole open file as prefix.
   * @param fileSize bytes of the open file.
   */
  zstdDict(frame: Bytes, fileSize: number): void {
    this.#head(Op.ZstdDict, frame.length);
    this.#payload(frame);
    this.#position = fileSize;
  }

  /** Gives what was written so far to the sink. */
  flush(): void {
    if (this.#filled === 0) return;
    this.#sink(this.#buffer.subarray(0, this.#filled));
    this.#filled = 0;
  }

  #seek(position: number): void {
    if (position === this.#position) return;
    this.#head(Op.Seek, position);
    this.#position = position;
  }

  #head(operation: number, size: number): void {
    if (this.#filled + MAX_HEAD > BUFFER_SIZE) this.flush();
    const buffer = this.#buffer;
    let at = this.#filled;
    buffer[at++] = operation;
    let rest = size;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) buffer[at++] = (rest % 0x80) | 0x80;
    buffer[at++] = rest;
    this.#filled = at;
  }

  #payload(bytes: Bytes): void {
    if (this.#filled + bytes.length > BUFFER_SIZE) this.flush();
    if (bytes.length > BUFFER_SIZE) {
      this.#sink(bytes as Uint8Array);
      return;
    }
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }
}
