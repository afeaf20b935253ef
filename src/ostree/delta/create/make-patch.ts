import type { Stretch } from "../../../similarity/stretches.ts";

const RECORD_SIZE = 24;

export interface Patch {
  /** For `bspatch`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** About what of it remains when it is compressed. */
  readonly cost: number;
}

/**
 * A patch that makes the new file of the old one. In a stretch, as in programs in which addresses have changed, the
 * differences are noted, which are mostly zeros.
 */
export function makePatch(old: Uint8Array, young: Uint8Array, stretches: readonly Stretch[]): Patch {
  const pieces: Uint8Array[] = [];
  let cost = 0;
  let oldAt = 0;
  // A patch begins at the old file's beginning: what comes before the first stretch is new.
  const emit = (stretch: Stretch, next: Stretch | undefined) => {
    const { newStart, oldStart, length } = stretch;
    const end = newStart + length;
    const copyEnd = next?.newStart ?? young.length;
    oldAt = oldStart + length;
    pieces.push(record(length, copyEnd - end, (next?.oldStart ?? oldAt) - oldAt));
    const mix = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      mix[i] = young[newStart + i]! - old[oldStart + i]!;
      if (mix[i] !== 0) cost++;
    }
    pieces.push(mix, young.subarray(end, copyEnd));
    cost += copyEnd - end + 6;
  };
  const all =
    stretches[0]?.newStart === 0 && stretches[0].oldStart === 0 ? stretches : [NOTHING, ...stretches];
  for (const [i, stretch] of all.entries()) emit(stretch, all[i + 1]);
  return { bytes: new Uint8Array(Buffer.concat(pieces)), cost };
}

const NOTHING: Stretch = { newStart: 0, oldStart: 0, length: 0 };

function record(mix: number, copy: number, seek: number): Uint8Array {
  const bytes = Buffer.alloc(RECORD_SIZE);
  bytes.writeUIntLE(mix, 0, 6);
  bytes.writeUIntLE(copy, 8, 6);
  bytes.writeUIntLE(Math.abs(seek), 16, 6);
  if (seek < 0) bytes[RECORD_SIZE - 1] = 0x80;
  return bytes;
}
