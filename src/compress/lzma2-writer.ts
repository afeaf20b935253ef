import { LITERAL_CONTEXT_BITS, LzmaEncoder, MAX_MATCH, POSITION_BITS } from "./lzma-encoder.ts";
import { RangeEncoder } from "./lzma-range-coder.ts";
import { MatchFinder, MIN_MATCH } from "./match-finder.ts";

/** 8 MiB: decoders need as much memory. */
export const DICTIONARY_SIZE = 2 ** 23;

/** Limits of a chunk of LZMA2. */
const MAX_CHUNK = 2 ** 21;
const MAX_PACKED = 2 ** 16;
const MAX_STORED = 2 ** 16;
/** Bytes that one step can't exceed. */
const MARGIN = 128;
/** Longer matches are taken without looking for a better one. */
const GOOD_MATCH = 64;

const PROPERTIES = POSITION_BITS * 5 * 9 + LITERAL_CONTEXT_BITS;

/** Compresses into chunks of LZMA2, as they are in .xz files: fast rather than as small as can be. */
export function* lzma2(bytes: Uint8Array): Generator<Uint8Array> {
  const coder = new RangeEncoder(new Uint8Array(MAX_PACKED + 2 * MARGIN));
  const encoder = new LzmaEncoder(coder, bytes);
  const finder = new MatchFinder(bytes, DICTIONARY_SIZE, MAX_MATCH);
  let hasProperties = false;
  let needsReset = true;
  let start = 0;
  while (start < bytes.length) {
    coder.begin();
    const end = encodeChunk(bytes, start, coder, encoder, finder);
    const packed = coder.finish();
    const length = end - start;
    if (packed.length < length) {
      // 3: new properties and dictionary; 2: new properties; 1: new state; 0: all goes on.
      const reset = hasProperties ? (needsReset ? 1 : 0) : start === 0 ? 3 : 2;
      yield chunkHeader(reset, length, packed.length);
      yield packed.slice();
      hasProperties = true;
      needsReset = false;
    } else {
      for (let at = start; at < end; at += MAX_STORED) {
        const piece = bytes.subarray(at, Math.min(end, at + MAX_STORED));
        yield Uint8Array.of(at === 0 ? 1 : 2, (piece.length - 1) >>> 8, (piece.length - 1) & 0xff);
        yield piece;
      }
      encoder.reset();
      needsReset = true;
    }
    start = end;
  }
  yield Uint8Array.of(0);
}

function chunkHeader(reset: number, length: number, packed: number): Uint8Array {
  const n = length - 1;
  const m = packed - 1;
  const head = [0x80 | (reset << 5) | (n >>> 16), (n >>> 8) & 0xff, n & 0xff, m >>> 8, m & 0xff];
  return Uint8Array.from(reset >= 2 ? [...head, PROPERTIES] : head);
}

/** @returns where the chunk ends. */
function encodeChunk(
  bytes: Uint8Array,
  start: number,
  coder: RangeEncoder,
  encoder: LzmaEncoder,
  finder: MatchFinder,
): number {
  const end = Math.min(bytes.length, start + MAX_CHUNK);
  const { repeats } = encoder;
  let position = start;
  /** Whether the match at this position has been looked for already. */
  let isKnown = false;
  let found = 0;
  let distance = 0;
  while (position < end && coder.size < MAX_PACKED - MARGIN) {
    const limit = Math.min(MAX_MATCH, end - position);
    if (!isKnown) {
      finder.advanceTo(position);
      found = finder.find(position);
      ({ distance } = finder);
    }
    isKnown = false;
    const length = Math.min(found, limit);
    const which = longestRepeat(repeats, finder, position, limit);
    const repeated = which < 0 ? 0 : finder.matchLength(position, repeats[which]!, limit);
    if (repeated >= 2 && (repeated + 1 >= length || (repeated + 2 >= length && distance >= 512))) {
      encoder.repeat(position, which as 0 | 1 | 2 | 3, repeated);
      position += repeated;
      continue;
    }
    if (length >= MIN_MATCH) {
      const matched = distance;
      if (length < GOOD_MATCH && position + 1 < end) {
        finder.advanceTo(position + 1);
        found = finder.find(position + 1);
        ({ distance } = finder);
        isKnown = found > length + 1;
      }
      if (!isKnown) {
        encoder.match(position, matched, length);
        position += length;
        continue;
      }
    }
    if (position >= repeats[0] && bytes[position] === bytes[position - repeats[0]])
      encoder.shortRepeat(position);
    else encoder.literal(position);
    position++;
  }
  return position;
}

/** Which of the last distances continues longest, or -1. */
function longestRepeat(
  repeats: readonly number[],
  finder: MatchFinder,
  position: number,
  limit: number,
): number {
  let which = -1;
  let best = 1;
  for (let i = 0; i < 4; i++) {
    if (repeats[i]! > position) continue;
    const length = finder.matchLength(position, repeats[i]!, limit);
    if (length <= best) continue;
    best = length;
    which = i;
  }
  return which;
}
