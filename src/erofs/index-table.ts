const MAX_PROBES = 32;
const EMPTY = 0;

/**
 * The numbers of up to `capacity` different keys, which stay in an array of the caller: 6 to 12 bytes a key, where a
 * Map takes 35 to 70 and leaves as much behind while it grows.
 *
 * Open addressing with a bound: what many keys with one hash push out of their neighbourhood goes to a Map, so that
 * input made for it costs memory instead of quadratic time.
 */
export class IndexTable<K> {
  readonly #keys: readonly K[];
  /** Index + 1. */
  readonly #slots: Int32Array;
  #overflow: Map<K, number> | undefined;

  /** @param keys by their number; the caller puts in each key that `indexOf` takes. */
  constructor(keys: readonly K[], capacity: number) {
    this.#keys = keys;
    let size = 64;
    while (size < capacity * 1.5) size *= 2;
    this.#slots = new Int32Array(size);
  }

  /**
   * @param hash any 32 bits that depend on nothing but the key.
   * @param next the number that the key gets when it is new.
   */
  indexOf(key: K, hash: number, next: number): number {
    const slots = this.#slots;
    const keys = this.#keys;
    const mask = slots.length - 1;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const entry = slots[slot]!;
      if (entry === EMPTY) {
        slots[slot] = next + 1;
        return next;
      }
      if (keys[entry - 1] === key) return entry - 1;
      slot = (slot + 1) & mask;
    }
    this.#overflow ??= new Map();
    const known = this.#overflow.get(key);
    if (known !== undefined) return known;
    this.#overflow.set(key, next);
    return next;
  }
}

/** A hash of a digest in hex. One native call: for the first thousands of them, a loop takes ten times as long. */
export function hashHex(digest: string): number {
  return Number.parseInt(digest.slice(0, 8), 16) | 0;
}
