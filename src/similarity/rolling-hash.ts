/** Of the polynomial: odd, so that no byte is lost. */
const MULTIPLIER = 0x01000193;
/** 2^32 divided by the golden ratio: spreads what differs in the low bits over the high ones. */
const SPREAD = 0x9e3779b1;

/**
 * A hash of the last so many bytes, which moves on by a byte in constant time: a polynomial modulo 2^32 (Rabin and
 * Karp). To take a step, `next`; the number itself is to be spread with `slotOf` before it is used as an index.
 */
export class RollingHash {
  /** Bytes. */
  readonly window: number;
  readonly #leaving: number;

  constructor(window: number) {
    this.window = window;
    let leaving = 1;
    for (let i = 1; i < window; i++) leaving = Math.imul(leaving, MULTIPLIER);
    this.#leaving = leaving;
  }

  /** The hash of the bytes from `at` on. */
  at(bytes: Uint8Array<ArrayBufferLike>, at: number): number {
    let hash = 0;
    for (let i = at, end = at + this.window; i < end; i++)
      hash = (Math.imul(hash, MULTIPLIER) + bytes[i]!) | 0;
    return hash;
  }

  /** The hash one byte further on. @param leaves the byte that it no longer covers. @param enters the new one. */
  next(hash: number, leaves: number, enters: number): number {
    return (Math.imul(hash - Math.imul(leaves, this.#leaving), MULTIPLIER) + enters) | 0;
  }
}

/** Of a table with 2^bits slots, the one for a hash. @param bits 1 to 32. */
export function slotOf(hash: number, bits: number): number {
  return Math.imul(hash, SPREAD) >>> (32 - bits);
}
