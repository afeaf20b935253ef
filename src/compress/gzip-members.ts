import { CfsError } from "../errors.ts";
import { pread } from "../sys/file.ts";
import { RawInflater } from "./inflate-raw.ts";

// Flags of a member's header (RFC 1952, 2.3.1).
const HEADER_CRC = 2;
const EXTRA = 4;
const NAME = 8;
const COMMENT = 16;

const FIXED_HEADER = 10;
/** Checksum and size. */
const TRAILER = 8;
/** Names and comments may be long; those of layers are not. */
const MAX_HEADER = 64 * 1024;
const PIECE = 256 * 1024;

/**
 * Whether the first `size` bytes of a file are gzip data of one member and nothing else: there are programs that read
 * only the first of several.
 */
export function isSingleMember(fd: number, size: number): boolean {
  const start = headerLength(fd, size);
  if (start === undefined) return false;
  const end = size - TRAILER;
  const inflater = new RawInflater();
  const input = new Uint8Array(PIECE);
  const output = new Uint8Array(PIECE);
  try {
    for (let at = start; at < end; ) {
      const length = pread(fd, input.subarray(0, Math.min(PIECE, end - at)), at);
      inflater.step(input, 0, length, false, output, 0, PIECE);
      // Nothing is taken any more when the compressed data is at its end.
      if (inflater.consumed === 0 && inflater.produced === 0) return false;
      at += inflater.consumed;
    }
    return true;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  } finally {
    inflater.close();
  }
}

/** Where the compressed data begins; undefined when there is no such header. */
function headerLength(fd: number, size: number): number | undefined {
  const head = new Uint8Array(Math.min(size, MAX_HEADER));
  if (pread(fd, head, 0) < FIXED_HEADER + TRAILER || head[0] !== 0x1f || head[1] !== 0x8b) return undefined;
  const flags = head[3]!;
  let at = FIXED_HEADER;
  if ((flags & EXTRA) !== 0) at += 2 + head[at]! + 256 * (head[at + 1] ?? 0);
  for (const text of [NAME, COMMENT]) {
    if ((flags & text) === 0) continue;
    const end = head.indexOf(0, at);
    if (end < 0) return undefined;
    at = end + 1;
  }
  if ((flags & HEADER_CRC) !== 0) at += 2;
  return at <= size - TRAILER ? at : undefined;
}
