/** A piece of the new file that is in the old one as well. */
export interface Copy {
  readonly newStart: number;
  readonly oldStart: number;
  readonly length: number;
}

const BLOCK = 32;
/** Of the polynomial that the rolling hash is: odd, so that no byte is lost. */
const MULTIPLIER = 0x01000193;
const LEAVING = power(MULTIPLIER, BLOCK - 1);

function power(base: number, exponent: number): number {
  let result = 1;
  for (let i = 0; i < exponent; i++) result = Math.imul(result, base);
  return result;
}

/**
 * Finds pieces of the old file in the new one: every block of the old file is found at any place of the new one, and
 * then extended to both sides.
 * @returns in the order of the new file, without overlaps, of at least a block each.
 */
export function findCopies(old: Uint8Array, young: Uint8Array): Copy[] {
  const copies: Copy[] = [];
  if (old.length < BLOCK || young.length < BLOCK) return copies;
  const blocks = new BlockTable(old);
  let hash = hashAt(young, 0);
  let at = 0;
  let done = 0;
  for (;;) {
    const found = blocks.find(hash, young, at);
    if (found >= 0) {
      const copy = extended(old, young, found, at, done);
      copies.push(copy);
      done = copy.newStart + copy.length;
      at = done;
      if (at + BLOCK > young.length) return copies;
      hash = hashAt(young, at);
      continue;
    }
    if (at + BLOCK >= young.length) return copies;
    hash = Math.imul(hash - Math.imul(young[at]!, LEAVING), MULTIPLIER) + young[at + BLOCK]!;
    at++;
  }
}

function extended(old: Uint8Array, young: Uint8Array, oldAt: number, newAt: number, lowest: number): Copy {
  let length = BLOCK;
  while (
    oldAt + length < old.length &&
    newAt + length < young.length &&
    old[oldAt + length] === young[newAt + length]
  )
    length++;
  let back = 0;
  while (newAt - back > lowest && oldAt - back > 0 && old[oldAt - back - 1] === young[newAt - back - 1])
    back++;
  return { newStart: newAt - back, oldStart: oldAt - back, length: length + back };
}

function hashAt(bytes: Uint8Array, at: number): number {
  let hash = 0;
  for (let i = at; i < at + BLOCK; i++) hash = Math.imul(hash, MULTIPLIER) + bytes[i]!;
  return hash;
}

/** The blocks of the old file by their hashes; of those with the same one, the first. */
class BlockTable {
  readonly #old: Uint8Array;
  readonly #slots: Int32Array;
  readonly #shift: number;

  constructor(old: Uint8Array) {
    this.#old = old;
    const blocks = Math.floor(old.length / BLOCK);
    const bits = Math.max(8, 33 - Math.clz32(blocks));
    this.#shift = 32 - bits;
    this.#slots = new Int32Array(1 << bits).fill(-1);
    for (let at = 0; at + BLOCK <= old.length; at += BLOCK) {
      const slot = this.#slot(hashAt(old, at));
      if (this.#slots[slot] === -1) this.#slots[slot] = at;
    }
  }

  /** Where in the old file the block is that begins here, or -1. */
  find(hash: number, young: Uint8Array, at: number): number {
    const found = this.#slots[this.#slot(hash)]!;
    if (found < 0) return -1;
    for (let i = 0; i < BLOCK; i++) if (this.#old[found + i] !== young[at + i]) return -1;
    return found;
  }

  #slot(hash: number): number {
    return Math.imul(hash, 0x9e3779b1) >>> this.#shift;
  }
}
