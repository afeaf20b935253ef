import { slotOf } from "./rolling-hash.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/** A piece of the new bytes that is like a piece of the old ones as long: all or most of the bytes are the same. */
export interface Stretch {
  readonly newStart: number;
  readonly oldStart: number;
  readonly length: number;
}

/** Shorter pieces that are the same are not looked for. */
export const SEED = 16;
/**
 * The hash of the last `SEED` bytes: with each byte it moves on by so many bits, and loses what is behind its 32.
 */
const HASH_SHIFT = 2;
/** What a byte adds to the hash: numbers without a pattern. */
const BYTE_VALUES = new Int32Array(256);
for (let i = 0, value = 1; i < 256; i++) {
  // A linear congruential generator (Numerical Recipes, "ranqd1").
  value = (Math.imul(value, 1664525) + 1013904223) | 0;
  BYTE_VALUES[i] = value ^ (value >>> 15);
}
/** Up to this size, the old bytes are found wherever they begin; of larger ones, every fourth place is known. */
const DENSE_SIZE = 2 * 1024 * 1024;
const SPARSE_STEP = 4;
/** How many places with the same hash are compared. */
const MAX_CHAIN = 16;
/** So many more bytes must be the same elsewhere to leave the place where the old bytes are being read. */
const MIN_GAIN = 8;
/** A stretch with fewer bytes that are the same costs as much as it saves. */
const MIN_SAME = 24;
/** So many bytes between two stretches at the same distance are cheaper as differences, whatever they are. */
const SHORT_GAP = 12;
const MIN_BITS = 8;
const MAX_BITS = 22;

/** Finds out of which pieces of old bytes new ones could be made. */
export class StretchFinder {
  readonly #old: Bytes;
  readonly #step: number;
  readonly #bits: number;
  /** For each slot the last place, divided by the step, whose hash has it; -1 for none. */
  readonly #heads: Int32Array;
  /** For each place the one before it in its slot. */
  readonly #previous: Int32Array;
  /** Of the last `#findSeed`. */
  #found = 0;

  /** @param old at most 2^30 bytes; takes up to two bytes of memory for one of them, and 16 MiB. */
  constructor(old: Bytes) {
    this.#old = old;
    this.#step = old.length <= DENSE_SIZE ? 1 : SPARSE_STEP;
    const places = Math.max(0, Math.floor((old.length - SEED) / this.#step) + 1);
    this.#bits = Math.min(MAX_BITS, Math.max(MIN_BITS, 33 - Math.clz32(places)));
    this.#heads = new Int32Array(2 ** this.#bits).fill(-1);
    this.#previous = new Int32Array(places);
    this.#index(places);
  }

  /** @returns in the order of the new bytes, without overlaps. */
  find(young: Bytes): Stretch[] {
    return this.grow(young, this.findSame(young));
  }

  /**
   * Lets pieces that are the same grow over bytes that mostly are, and leaves out those that remain too small.
   * @param same what `findSame` has found.
   */
  grow(young: Bytes, same: readonly Stretch[]): Stretch[] {
    return grown(this.#old, young, same);
  }

  #index(places: number): void {
    if (places === 0) return;
    const old = this.#old;
    const step = this.#step;
    const heads = this.#heads;
    const previous = this.#previous;
    const bits = this.#bits;
    const values = BYTE_VALUES;
    let hash = hashAt(old, 0);
    let before = ~hash;
    for (let place = 0, at = 0; ; ) {
      const slot = slotOf(hash, bits);
      // Of a run of the same bytes the beginning is enough.
      if (hash === before) previous[place] = -1;
      else {
        previous[place] = heads[slot]!;
        heads[slot] = place;
      }
      before = hash;
      if (++place === places) return;
      for (const end = at + step; at < end; at++)
        hash = ((hash << HASH_SHIFT) + values[old[at + SEED]!]!) | 0;
    }
  }

  /** Pieces all of whose bytes are the same, of at least `SEED` each, in order and without overlaps. */
  findSame(young: Bytes): Stretch[] {
    const same: Stretch[] = [];
    const last = young.length - SEED;
    if (last < 0 || this.#previous.length === 0) return same;
    const old = this.#old;
    const values = BYTE_VALUES;
    let hash = hashAt(young, 0);
    let shift = 0;
    let done = 0;
    for (let at = 0; ; ) {
      let length = young[at] === old[at + shift] ? equalLength(old, at + shift, young, at) : 0;
      let oldAt = at + shift;
      if (length < SEED) {
        length = this.#findSeed(hash, young, at);
        oldAt = this.#found;
        if (length > 0 && isBarelyBetter(old, young, at, length, shift)) length = 0;
      }
      if (length > 0) {
        let back = 0;
        while (at - back > done && oldAt - back > 0 && old[oldAt - back - 1] === young[at - back - 1]) back++;
        same.push({ newStart: at - back, oldStart: oldAt - back, length: length + back });
        shift = oldAt - at;
        at += length;
        done = at;
        if (at > last) return same;
        hash = hashAt(young, at);
        continue;
      }
      if (at === last) return same;
      hash = ((hash << HASH_SHIFT) + values[young[at + SEED]!]!) | 0;
      at++;
    }
  }

  /** Length of the longest piece found that begins at `at`, and sets `#found`; 0 when there is none. */
  #findSeed(hash: number, young: Bytes, at: number): number {
    const old = this.#old;
    const step = this.#step;
    let best = SEED - 1;
    let place = this.#heads[slotOf(hash, this.#bits)]!;
    for (let i = 0; i < MAX_CHAIN && place >= 0; i++) {
      const candidate = place * step;
      if (old[candidate + best] === young[at + best]) {
        const length = equalLength(old, candidate, young, at);
        if (length > best) {
          best = length;
          this.#found = candidate;
        }
      }
      place = this.#previous[place]!;
    }
    return best < SEED ? 0 : best;
  }
}

function hashAt(bytes: Bytes, start: number): number {
  let hash = 0;
  for (let at = start; at < start + SEED; at++) hash = ((hash << HASH_SHIFT) + BYTE_VALUES[bytes[at]!]!) | 0;
  return hash;
}

function equalLength(old: Bytes, oldStart: number, young: Bytes, newStart: number): number {
  const limit = Math.min(old.length - oldStart, young.length - newStart);
  let length = 0;
  while (length < limit && old[oldStart + length] === young[newStart + length]) length++;
  return length;
}

/** Whether nearly as many bytes are the same where the old bytes are being read. */
function isBarelyBetter(old: Bytes, young: Bytes, start: number, length: number, shift: number): boolean {
  let lacking = 0;
  for (let at = start, end = start + length; at < end; at++) {
    if (old[at + shift] !== young[at] && ++lacking > MIN_GAIN) return false;
  }
  return true;
}

/** A stretch that still grows. */
interface Growing {
  newStart: number;
  /** Where the old bytes are that it is made of, less where the new ones are. */
  readonly shift: number;
  newEnd: number;
  /** Bytes that are the same. */
  same: number;
}

function grown(old: Bytes, young: Bytes, same: readonly Stretch[]): Stretch[] {
  const all: Growing[] = [];
  for (const { newStart, oldStart, length } of same) {
    const next = { newStart, shift: oldStart - newStart, newEnd: newStart + length, same: length };
    const last = all.at(-1);
    if (last === undefined) {
      growBackwards(old, young, next, 0);
      all.push(next);
    } else if (last.shift === next.shift) {
      const between = sameBetween(old, young, last.newEnd, newStart, next.shift);
      const gap = newStart - last.newEnd;
      if (gap <= SHORT_GAP || between * 2 >= gap) {
        last.newEnd = next.newEnd;
        last.same += between + length;
      } else {
        meet(old, young, last, next);
        all.push(next);
      }
    } else {
      meet(old, young, last, next);
      all.push(next);
    }
  }
  const last = all.at(-1);
  if (last !== undefined) growForwards(old, young, last, young.length);
  return all
    .filter(({ same: count }) => count >= MIN_SAME)
    .map(({ newStart, newEnd, shift }) => ({
      newStart,
      oldStart: newStart + shift,
      length: newEnd - newStart,
    }));
}

function sameBetween(old: Bytes, young: Bytes, start: number, end: number, shift: number): number {
  let same = 0;
  for (let at = start; at < end; at++) if (old[at + shift] === young[at]) same++;
  return same;
}

/** Gives two neighbours what lies between them, as far as more bytes of it are the same than not. */
function meet(old: Bytes, young: Bytes, left: Growing, right: Growing): void {
  const start = left.newEnd;
  const end = right.newStart;
  growForwards(old, young, left, end);
  growBackwards(old, young, right, start);
  const overlap = left.newEnd - right.newStart;
  if (overlap <= 0) return;
  // Both would have it: it is cut where they have the most together.
  const from = right.newStart;
  let score = 0;
  let best = 0;
  let cut = from;
  for (let at = from; at < left.newEnd; at++) {
    if (old[at + left.shift] === young[at]) score++;
    if (old[at + right.shift] === young[at]) score--;
    if (score > best) {
      best = score;
      cut = at + 1;
    }
  }
  left.same -= sameBetween(old, young, cut, left.newEnd, left.shift);
  right.same -= sameBetween(old, young, from, cut, right.shift);
  left.newEnd = cut;
  right.newStart = cut;
}

/** Where as many bytes more are different than are the same, nothing good is to be expected any more. */
const HOPELESS = 64;

function growForwards(old: Bytes, young: Bytes, stretch: Growing, end: number): void {
  const { shift } = stretch;
  const limit = Math.min(end, old.length - shift);
  let score = 0;
  let best = 0;
  let same = 0;
  for (let at = stretch.newEnd; at < limit; at++) {
    if (old[at + shift] === young[at]) {
      same++;
      if (++score > best) {
        best = score;
        stretch.newEnd = at + 1;
        stretch.same += same;
        same = 0;
      }
    } else if (--score < best - HOPELESS) return;
  }
}

function growBackwards(old: Bytes, young: Bytes, stretch: Growing, start: number): void {
  const { shift } = stretch;
  const limit = Math.max(start, -shift);
  let score = 0;
  let best = 0;
  let same = 0;
  for (let at = stretch.newStart - 1; at >= limit; at--) {
    if (old[at + shift] === young[at]) {
      same++;
      if (++score > best) {
        best = score;
        stretch.newStart = at;
        stretch.same += same;
        same = 0;
      }
    } else if (--score < best - HOPELESS) return;
  }
}
