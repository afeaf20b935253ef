/** Probabilities are of 11 bits, and move by a 32nd of what is missing. */
export const PROBABILITY_ONE_HALF = 1024;
const PROBABILITY_BITS = 11;
const PROBABILITY_ONE = 1 << PROBABILITY_BITS;
const MOVE_BITS = 5;
const TOP = 2 ** 24;
/** What is left when the coder ends. */
const FLUSH_SIZE = 5;

/** The range coder of LZMA (LZMA specification by Igor Pavlov): bits with probabilities that adapt become bytes. */
export class RangeEncoder {
  readonly #output: Uint8Array;
  #length = 0;
  #low = 0;
  #range = 0xffffffff;
  #cache = 0;
  #cacheSize = 1;

  /** @param output is to have room for all that will be encoded. */
  constructor(output: Uint8Array) {
    this.#output = output;
  }

  begin(): void {
    this.#length = 0;
    this.#low = 0;
    this.#range = 0xffffffff;
    this.#cache = 0;
    this.#cacheSize = 1;
  }

  /** Bytes that there would be if the coder ended now. */
  get size(): number {
    return this.#length + this.#cacheSize + FLUSH_SIZE - 1;
  }

  /** Ends the data. @returns a view of the output. */
  finish(): Uint8Array {
    for (let i = 0; i < FLUSH_SIZE; i++) this.#shift();
    return this.#output.subarray(0, this.#length);
  }

  bit(probabilities: Uint16Array, index: number, bit: number): void {
    const probability = probabilities[index]!;
    const bound = (this.#range >>> PROBABILITY_BITS) * probability;
    if (bit === 0) {
      this.#range = bound;
      probabilities[index] = probability + ((PROBABILITY_ONE - probability) >>> MOVE_BITS);
    } else {
      this.#low += bound;
      this.#range -= bound;
      probabilities[index] = probability - (probability >>> MOVE_BITS);
    }
    if (this.#range < TOP) {
      this.#range = (this.#range << 8) >>> 0;
      this.#shift();
    }
  }

  /** Bits of even probability, the highest first. */
  direct(value: number, count: number): void {
    for (let i = count - 1; i >= 0; i--) {
      this.#range >>>= 1;
      if (((value >>> i) & 1) === 1) this.#low += this.#range;
      if (this.#range < TOP) {
        this.#range = (this.#range << 8) >>> 0;
        this.#shift();
      }
    }
  }

  /** A number of so many bits, the highest first; each bit's probability depends on those before. */
  tree(probabilities: Uint16Array, start: number, bits: number, value: number): void {
    let node = 1;
    for (let i = bits - 1; i >= 0; i--) {
      const bit = (value >>> i) & 1;
      this.bit(probabilities, start + node, bit);
      node = (node << 1) | bit;
    }
  }

  /** As `tree`, the lowest bit first. */
  reverseTree(probabilities: Uint16Array, start: number, bits: number, value: number): void {
    let node = 1;
    for (let i = 0; i < bits; i++) {
      const bit = (value >>> i) & 1;
      this.bit(probabilities, start + node, bit);
      node = (node << 1) | bit;
    }
  }

  /** Moves a byte out, as soon as no carry can change it. */
  #shift(): void {
    if (this.#low < 0xff000000 || this.#low > 0xffffffff) {
      const carry = this.#low > 0xffffffff ? 1 : 0;
      let byte = this.#cache;
      do {
        this.#output[this.#length++] = byte + carry;
        byte = 0xff;
      } while (--this.#cacheSize !== 0);
      this.#cache = (this.#low >>> 24) & 0xff;
    }
    this.#cacheSize++;
    this.#low = (this.#low & 0xffffff) * 256;
  }
}
