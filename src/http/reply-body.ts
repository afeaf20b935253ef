import { type BodyFraming, malformed } from "./reply-head.ts";

/** Cuts the body out of what a connection gives. */
export interface BodyReader {
  readonly isComplete: boolean;
  /** The end of the connection is that of the body. */
  readonly endsWithConnection: boolean;
  /**
   * @param data is taken apart.
   * @param take gets the part of the body in `data`, as a view of it.
   * @returns how much of `data` belongs to the body; less than all when that has ended.
   * @throws Error `malformed`
   */
  read(data: Uint8Array, take: (piece: Uint8Array) => void): number;
}

export function bodyReader(framing: BodyFraming): BodyReader {
  return framing === "chunked" ? new ChunkedBody() : new PlainBody(framing.size);
}

class PlainBody implements BodyReader {
  readonly endsWithConnection: boolean;
  #left: number;

  constructor(size: number) {
    this.endsWithConnection = size < 0;
    this.#left = size < 0 ? Number.POSITIVE_INFINITY : size;
  }

  get isComplete(): boolean {
    return this.#left === 0;
  }

  read(data: Uint8Array, take: (piece: Uint8Array) => void): number {
    const length = Math.min(data.length, this.#left);
    this.#left -= length;
    if (length > 0) take(length === data.length ? data : data.subarray(0, length));
    return length;
  }
}

/** Longest line with the size of a chunk, and its extensions. */
const MAX_LINE = 4096;
/** Of all lines after the last chunk. */
const MAX_TRAILER = 64 * 1024;

/** RFC 9112, 7.1. */
class ChunkedBody implements BodyReader {
  readonly endsWithConnection = false;
  isComplete = false;
  /** Of the chunk. */
  #left = 0;
  #state: "size" | "data" | "data-end" | "trailer" = "size";
  #line = "";
  #trailer = 0;

  read(data: Uint8Array, take: (piece: Uint8Array) => void): number {
    let at = 0;
    // However small chunks are, there is one piece of what they hold: many would take a lot of memory.
    let start = 0;
    let end = 0;
    while (at < data.length && !this.isComplete) {
      if (this.#state === "data") {
        const length = Math.min(data.length - at, this.#left);
        this.#left -= length;
        if (start === end) {
          start = at;
          end = at + length;
        } else {
          data.copyWithin(end, at, at + length);
          end += length;
        }
        at += length;
        if (this.#left === 0) this.#state = "data-end";
        continue;
      }
      const lineEnd = data.indexOf(10, at);
      const part = data.subarray(at, lineEnd < 0 ? data.length : lineEnd);
      if (this.#line.length + part.length > MAX_LINE)
        throw malformed("a line between its chunks is too long");
      this.#line += Buffer.from(part.buffer, part.byteOffset, part.length).latin1Slice();
      at += part.length;
      if (lineEnd < 0) break;
      at++;
      const line = this.#line.endsWith("\r") ? this.#line.slice(0, -1) : this.#line;
      this.#line = "";
      this.#takeLine(line);
    }
    if (start < end) take(data.subarray(start, end));
    return at;
  }

  #takeLine(line: string): void {
    if (this.#state === "size") {
      const [, size] = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line) ?? [];
      if (size === undefined) throw malformed("a chunk has no size");
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? "trailer" : "data";
    } else if (this.#state === "data-end") {
      if (line !== "") throw malformed("a chunk is longer than its size");
      this.#state = "size";
    } else if (line === "") {
      this.isComplete = true;
    } else {
      this.#trailer += line.length;
      if (this.#trailer > MAX_TRAILER) throw malformed("what follows its chunks is too long");
    }
  }
}
