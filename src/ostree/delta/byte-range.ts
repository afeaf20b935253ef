import { CfsError } from "../../errors.ts";
import type { Fd } from "../../sys/fd.ts";
import { pread } from "../../sys/file.ts";

/** Bytes that are read at any position: in memory, or in a file that is too large for it. */
export interface ByteRange {
  readonly size: number;
  /** @param start, end within the size. @returns to be used before the next call only. */
  read(start: number, end: number): Uint8Array;
}

/** More is read in several pieces. */
export const PIECE = 256 * 1024;

export function memoryRange(bytes: Uint8Array): ByteRange {
  // Of a Buffer, `slice` would not copy.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  return { size: plain.length, read: (start, end) => plain.subarray(start, end) };
}

/** @param size of the file. The caller closes it. */
export function fileRange(file: Fd, size: number): ByteRange {
  // Used again and again: else the garbage of a part is as large as the part.
  let buffer = new Uint8Array(0);
  return {
    size,
    read(start, end) {
      if (end - start > buffer.length) buffer = new Uint8Array(end - start);
      const bytes = buffer.subarray(0, end - start);
      if (pread(file.fd, bytes, start, file.path) !== bytes.length)
        throw new CfsError("Corrupt", `${file.path} ends unexpectedly`);
      return bytes;
    },
  };
}

/** Piece by piece; each is valid until the next one. @throws CfsError Corrupt when it is not within the size. */
export function* pieces(
  range: ByteRange,
  start: number,
  length: number,
  what: string,
): Generator<Uint8Array> {
  checkSlice(range, start, length, what);
  const end = start + length;
  for (let at = start; at < end; at += PIECE) yield range.read(at, Math.min(end, at + PIECE));
}

/** All at once. @throws CfsError Corrupt when it is not within the size. */
export function slice(range: ByteRange, start: number, length: number, what: string): Uint8Array {
  checkSlice(range, start, length, what);
  return range.read(start, start + length);
}

/** A part of a range as one of its own. @throws CfsError Corrupt when it is not within the size. */
export function subRange(range: ByteRange, start: number, length: number, what: string): ByteRange {
  checkSlice(range, start, length, what);
  return { size: length, read: (from, to) => range.read(start + from, start + to) };
}

function checkSlice({ size }: ByteRange, start: number, length: number, what: string): void {
  if (start + length > size)
    throw new CfsError("Corrupt", `${what} ${start}..${start + length} out of range (len=${size})`);
}
