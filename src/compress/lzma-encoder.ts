import { PROBABILITY_ONE_HALF, type RangeEncoder } from "./lzma-range-coder.ts";

/** Bits of a literal's context that come from the byte before, and of the position. */
export const LITERAL_CONTEXT_BITS = 3;
export const POSITION_BITS = 2;
export const MAX_MATCH = 273;

const STATES = 12;
const POSITIONS = 1 << POSITION_BITS;
const LITERAL_SIZE = 0x300;
const LENGTH_SIZE = 2 + POSITIONS * 8 * 2 + 256;
const FIRST_MODELED_SLOT = 4;
const FIRST_DIRECT_SLOT = 14;
const ALIGN_BITS = 4;

/** Where each kind of probability begins in the one array. */
let total = 0;
const region = (size: number) => {
  const start = total;
  total += size;
  return start;
};
const IS_MATCH = region(STATES * POSITIONS);
const IS_REPEAT = region(STATES);
const IS_REPEAT_0 = region(STATES);
const IS_REPEAT_0_LONG = region(STATES * POSITIONS);
const IS_REPEAT_1 = region(STATES);
const IS_REPEAT_2 = region(STATES);
const SLOTS = region(4 * 64);
const SPECIAL = region(128);
const ALIGN = region(1 << ALIGN_BITS);
const MATCH_LENGTH = region(LENGTH_SIZE);
const REPEAT_LENGTH = region(LENGTH_SIZE);
const LITERALS = region(LITERAL_SIZE << LITERAL_CONTEXT_BITS);

/** Encodes literals and matches as LZMA does; which ones is for the caller to choose. */
export class LzmaEncoder {
  readonly #coder: RangeEncoder;
  readonly #bytes: Uint8Array;
  readonly #probabilities = new Uint16Array(total);
  #state = 0;
  /** The last distances, the latest first; 1 is the byte before. */
  readonly repeats = [1, 1, 1, 1] as [number, number, number, number];

  constructor(coder: RangeEncoder, bytes: Uint8Array) {
    this.#coder = coder;
    this.#bytes = bytes;
    this.reset();
  }

  reset(): void {
    this.#probabilities.fill(PROBABILITY_ONE_HALF);
    this.#state = 0;
    this.repeats.fill(1);
  }

  literal(position: number): void {
    const p = this.#probabilities;
    const byte = this.#bytes[position]!;
    const before = position === 0 ? 0 : this.#bytes[position - 1]!;
    this.#coder.bit(p, IS_MATCH + this.#state * POSITIONS + (position % POSITIONS), 0);
    const start = LITERALS + LITERAL_SIZE * (before >>> (8 - LITERAL_CONTEXT_BITS));
    if (this.#state < 7) this.#coder.tree(p, start, 8, byte);
    else this.#matchedLiteral(start, byte, this.#bytes[position - this.repeats[0]]!);
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  /** After a match, what would have continued it tells much about a byte. */
  #matchedLiteral(start: number, byte: number, expected: number): void {
    let offset = 0x100;
    let node = 1;
    for (let i = 7; i >= 0; i--) {
      const expectedBit = (expected >>> i) & 1;
      const bit = (byte >>> i) & 1;
      const index = offset === 0 ? node : offset + (expectedBit << 8) + node;
      this.#coder.bit(this.#probabilities, start + index, bit);
      node = (node << 1) | bit;
      if (bit !== expectedBit) offset = 0;
    }
  }

  /** One byte, the same as at the last distance. */
  shortRepeat(position: number): void {
    const p = this.#probabilities;
    const context = this.#state * POSITIONS + (position % POSITIONS);
    this.#coder.bit(p, IS_MATCH + context, 1);
    this.#coder.bit(p, IS_REPEAT + this.#state, 1);
    this.#coder.bit(p, IS_REPEAT_0 + this.#state, 0);
    this.#coder.bit(p, IS_REPEAT_0_LONG + context, 0);
    this.#state = this.#state < 7 ? 9 : 11;
  }

  /** @param which of the last distances. */
  repeat(position: number, which: 0 | 1 | 2 | 3, length: number): void {
    const p = this.#probabilities;
    const context = this.#state * POSITIONS + (position % POSITIONS);
    this.#coder.bit(p, IS_MATCH + context, 1);
    this.#coder.bit(p, IS_REPEAT + this.#state, 1);
    this.#coder.bit(p, IS_REPEAT_0 + this.#state, which === 0 ? 0 : 1);
    if (which === 0) this.#coder.bit(p, IS_REPEAT_0_LONG + context, 1);
    else {
      this.#coder.bit(p, IS_REPEAT_1 + this.#state, which === 1 ? 0 : 1);
      if (which > 1) this.#coder.bit(p, IS_REPEAT_2 + this.#state, which - 2);
      this.#remember(which, this.repeats[which]);
    }
    this.#length(REPEAT_LENGTH, position, length);
    this.#state = this.#state < 7 ? 8 : 11;
  }

  /** @param distance from 1 on. @param length 2 … MAX_MATCH. */
  match(position: number, distance: number, length: number): void {
    const p = this.#probabilities;
    this.#coder.bit(p, IS_MATCH + this.#state * POSITIONS + (position % POSITIONS), 1);
    this.#coder.bit(p, IS_REPEAT + this.#state, 0);
    this.#length(MATCH_LENGTH, position, length);
    this.#distance(distance - 1, length);
    this.#remember(3, distance);
    this.#state = this.#state < 7 ? 7 : 10;
  }

  /** Puts a distance first, in the place of another one. */
  #remember(replaced: number, distance: number): void {
    const { repeats } = this;
    for (let i = replaced; i > 0; i--) repeats[i] = repeats[i - 1]!;
    repeats[0] = distance;
  }

  #length(start: number, position: number, length: number): void {
    const p = this.#probabilities;
    const value = length - 2;
    const low = start + 2 + (position % POSITIONS) * 8;
    const middle = low + POSITIONS * 8;
    if (value < 8) {
      this.#coder.bit(p, start, 0);
      this.#coder.tree(p, low, 3, value);
    } else if (value < 16) {
      this.#coder.bit(p, start, 1);
      this.#coder.bit(p, start + 1, 0);
      this.#coder.tree(p, middle, 3, value - 8);
    } else {
      this.#coder.bit(p, start, 1);
      this.#coder.bit(p, start + 1, 1);
      this.#coder.tree(p, start + 2 + POSITIONS * 16, 8, value - 16);
    }
  }

  #distance(distance: number, length: number): void {
    const p = this.#probabilities;
    const slot = slotOf(distance);
    this.#coder.tree(p, SLOTS + Math.min(length - 2, 3) * 64, 6, slot);
    if (slot < FIRST_MODELED_SLOT) return;
    const bits = (slot >>> 1) - 1;
    const base = (2 | (slot & 1)) << bits;
    const rest = distance - base;
    if (slot < FIRST_DIRECT_SLOT) {
      this.#coder.reverseTree(p, SPECIAL + base - slot, bits, rest);
      return;
    }
    this.#coder.direct(rest >>> ALIGN_BITS, bits - ALIGN_BITS);
    this.#coder.reverseTree(p, ALIGN, ALIGN_BITS, rest & ((1 << ALIGN_BITS) - 1));
  }
}

/** Number of the highest bit, and the next one. */
function slotOf(distance: number): number {
  if (distance < FIRST_MODELED_SLOT) return distance;
  const high = 31 - Math.clz32(distance);
  return 2 * high + ((distance >>> (high - 1)) & 1);
}
