import { CfsError } from "../../errors.ts";
import { type ByteRange, PIECE } from "./byte-range.ts";

const RECORD_SIZE = 24;

/**
 * What a patch makes of an old file, piece by piece. The patch is one of bsdiff 4.3 without its header and its
 * compression: records of three numbers, then bytes to be added to those of the old file, then new bytes; the third
 * number moves the position in the old file. Beyond the ends of the old file nothing is added.
 * @throws CfsError Corrupt
 */
export function* bspatch(old: ByteRange, patch: ByteRange): Generator<Uint8Array> {
  let at = 0;
  let oldAt = 0;
  while (at < patch.size) {
    if (at + RECORD_SIZE > patch.size) throw damaged();
    const record = patch.read(at, at + RECORD_SIZE);
    const mixLength = signMagnitude(record, 0);
    const copyLength = signMagnitude(record, 8);
    const seek = signMagnitude(record, 16);
    at += RECORD_SIZE;
    if (mixLength < 0 || copyLength < 0 || at + mixLength + copyLength > patch.size) throw damaged();
    for (const end = at + mixLength; at < end; ) {
      const length = Math.min(PIECE, end - at);
      yield mix(patch.read(at, at + length), old, oldAt);
      at += length;
      oldAt += length;
    }
    for (const end = at + copyLength; at < end; ) {
      const length = Math.min(PIECE, end - at);
      yield patch.read(at, at + length);
      at += length;
    }
    oldAt += seek;
    if (!Number.isSafeInteger(oldAt)) throw damaged();
  }
}

function damaged(): CfsError {
  return new CfsError("Corrupt", "bspatch failed: the patch is damaged");
}

/** 64 bits, little-endian; the highest one is the sign. */
function signMagnitude(bytes: Uint8Array, offset: number): number {
  let value = bytes[offset + 7]! & 0x7f;
  for (let i = 6; i >= 0; i--) value = value * 256 + bytes[offset + i]!;
  if (value > Number.MAX_SAFE_INTEGER) throw damaged();
  return bytes[offset + 7]! >= 0x80 ? -value : value;
}

function mix(difference: Uint8Array, old: ByteRange, oldAt: number): Uint8Array {
  const result = difference.slice();
  const from = Math.max(0, oldAt);
  const to = Math.min(old.size, oldAt + difference.length);
  if (from >= to) return result;
  const added = old.read(from, to);
  for (let i = 0, at = from - oldAt; i < added.length; i++, at++) result[at]! += added[i]!;
  return result;
}
