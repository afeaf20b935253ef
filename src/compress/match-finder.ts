/** Shorter matches are not looked for. */
export const MIN_MATCH = 4;
const HASH_BITS = 17;
/** How many earlier places with the same hash are compared. */
const MAX_CHAIN = 16;

/** Finds earlier copies of what is at a position, by chains of places whose first bytes have the same hash. */
export class MatchFinder {
  readonly #bytes: Uint8Array;
  readonly #window: number;
  readonly #maxLength: number;
  readonly #head = new Int32Array(1 << HASH_BITS).fill(-1);
  /** For each position, modulo the window: the place before it in its chain. */
  readonly #previous: Int32Array;
  readonly #mask: number;
  #next = 0;
  /** Of the last `find`: bytes from one to the other. */
  distance = 0;

  /** @param window a power of two: how far back a match may be. */
  constructor(bytes: Uint8Array, window: number, maxLength: number) {
    this.#bytes = bytes;
    this.#window = window;
    this.#maxLength = maxLength;
    let size = 1;
    while (size < window && size < bytes.length) size *= 2;
    this.#previous = new Int32Array(size);
    this.#mask = size - 1;
  }

  /** Makes all positions before this one known. */
  advanceTo(position: number): void {
    const last = Math.min(position, this.#bytes.length - MIN_MATCH + 1);
    for (; this.#next < last; this.#next++) {
      const hash = this.#hash(this.#next);
      this.#previous[this.#next & this.#mask] = this.#head[hash]!;
      this.#head[hash] = this.#next;
    }
    if (this.#next < position) this.#next = position;
  }

  /** Length of the longest match at a position, and sets `distance`; 0 when there is none. All before must be known. */
  find(position: number): number {
    const bytes = this.#bytes;
    const limit = Math.min(this.#maxLength, bytes.length - position);
    if (limit < MIN_MATCH) return 0;
    const lowest = Math.max(0, position - Math.min(this.#window, this.#mask + 1) + 1);
    let best = MIN_MATCH - 1;
    let candidate = this.#head[this.#hash(position)]!;
    for (let i = 0; i < MAX_CHAIN && candidate >= lowest; i++) {
      if (bytes[candidate + best] === bytes[position + best]) {
        const length = this.matchLength(position, position - candidate, limit);
        if (length > best) {
          best = length;
          this.distance = position - candidate;
          if (length === limit) break;
        }
      }
      const before = this.#previous[candidate & this.#mask]!;
      if (before >= candidate) break;
      candidate = before;
    }
    return best < MIN_MATCH ? 0 : best;
  }

  /** How many bytes, up to a limit, are the same as those at a distance before. */
  matchLength(position: number, distance: number, limit: number): number {
    const bytes = this.#bytes;
    const from = position - distance;
    let length = 0;
    while (length < limit && bytes[from + length] === bytes[position + length]) length++;
    return length;
  }

  #hash(position: number): number {
    const bytes = this.#bytes;
    const word =
      bytes[position]! |
      (bytes[position + 1]! << 8) |
      (bytes[position + 2]! << 16) |
      (bytes[position + 3]! << 24);
    return Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
  }
}
