import type { Copy } from "./similar-blocks.ts";

const RECORD_SIZE = 24;
/** Differences of so many bytes cost no more than another record. */
const SHORT = 32;

/** A stretch of the new file that is like one of the old file, most bytes being the same. */
interface Stretch {
  readonly newStart: number;
  readonly oldStart: number;
  length: number;
}

export interface Patch {
  /** For `bspatch`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** About what of it remains when it is compressed. */
  readonly cost: number;
}

/**
 * A patch that makes the new file of the old one. What is between two copies may be alike too, as in programs in which
 * addresses have changed: there the differences are noted, which are mostly zeros.
 */
export function makePatch(old: Uint8Array, young: Uint8Array, copies: readonly Copy[]): Patch {
  const stretches = alike(old, young, copies);
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

/** Extends copies over what is mostly the same, up to the next copy. */
function alike(old: Uint8Array, young: Uint8Array, copies: readonly Copy[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const [i, copy] of copies.entries()) {
    const last = stretches.at(-1);
    const lastEnd = last === undefined ? 0 : last.newStart + last.length;
    if (last !== undefined && copy.newStart - last.newStart === copy.oldStart - last.oldStart) {
      if (lastEnd === copy.newStart || isAlike(old, young, last, copy)) {
        last.length = copy.newStart + copy.length - last.newStart;
        extend(old, young, last, copies[i + 1]?.newStart ?? young.length);
        continue;
      }
    }
    const start = Math.max(copy.newStart, lastEnd);
    const skipped = start - copy.newStart;
    if (skipped >= copy.length) continue;
    const stretch = { newStart: start, oldStart: copy.oldStart + skipped, length: copy.length - skipped };
    extend(old, young, stretch, copies[i + 1]?.newStart ?? young.length);
    stretches.push(stretch);
  }
  return stretches;
}

/** Whether what is between two stretches is short, or at least half of its bytes are the same. */
function isAlike(old: Uint8Array, young: Uint8Array, from: Stretch, to: Copy): boolean {
  const start = from.newStart + from.length;
  const shift = from.oldStart - from.newStart;
  if (to.newStart - start <= SHORT) return true;
  let same = 0;
  for (let at = start; at < to.newStart; at++) if (old[at + shift] === young[at]) same++;
  return same * 2 >= to.newStart - start;
}

/** Lengthens a stretch to where the most bytes are the same, less those that are not. */
function extend(old: Uint8Array, young: Uint8Array, stretch: Stretch, end: number): void {
  const shift = stretch.oldStart - stretch.newStart;
  const start = stretch.newStart + stretch.length;
  let score = 0;
  let best = 0;
  const limit = Math.min(end, old.length - shift);
  for (let at = start; at < limit; at++) {
    score += old[at + shift] === young[at] ? 1 : -1;
    if (score > best) {
      best = score;
      stretch.length = at + 1 - stretch.newStart;
    } else if (score < best - 64) return;
  }
}
