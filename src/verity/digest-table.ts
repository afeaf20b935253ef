import type { ObjectId } from "./digest.ts";

const EMPTY = -1;

/**
 * Digests in order of first use, each once, as bytes: an image may have a million of them, and their names as strings
 * in a Map would take four times the memory.
 */
export class DigestTable implements Iterable<ObjectId> {
  readonly #size: number;
  #digests: Buffer<ArrayBuffer>;
  /** Open addressing; the first bytes of a digest are as good as any hash of it. */
  #slots: Int32Array;
  #length = 0;
  readonly #one: Buffer;

  /**
   * @param size of a digest in bytes.
   * @param expected how many there will be, as far as that is known: growing takes three times the memory for a moment.
   */
  constructor(size: number, expected = 512) {
    this.#size = size;
    this.#digests = Buffer.alloc(Math.max(1, expected) * size);
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(512, expected) * 2))).fill(EMPTY);
    this.#one = Buffer.alloc(size);
  }

  get length(): number {
    return this.#length;
  }

  /** Index of the digest that begins at `offset` of `bytes`, or -1. */
  find(bytes: Buffer<ArrayBufferLike>, offset: number): number {
    return this.#slots[this.#slotOf(bytes, offset)]!;
  }

  has(id: ObjectId): boolean {
    this.#one.hexWrite(id);
    return this.find(this.#one, 0) >= 0;
  }

  /** The digest with this index. */
  at(index: number): ObjectId {
    return this.#digests.hexSlice(index * this.#size, (index + 1) * this.#size) as ObjectId;
  }

  *[Symbol.iterator](): Generator<ObjectId> {
    for (let i = 0; i < this.#length; i++) yield this.at(i);
  }

  /** Adds digests that stand one after the other. */
  addAll(digests: Buffer<ArrayBufferLike>): void {
    this.reserve(digests.length / this.#size);
    for (let at = 0; at < digests.length; at += this.#size) this.indexOfBytes(digests, at);
  }

  /** Index of the digest, added when it is new. */
  indexOf(id: ObjectId): number {
    this.#one.hexWrite(id);
    return this.indexOfBytes(this.#one, 0);
  }

  /** As `indexOf`, for the digest that begins at `offset` of `bytes`. */
  indexOfBytes(bytes: Buffer<ArrayBufferLike>, offset: number): number {
    const slot = this.#slotOf(bytes, offset);
    const index = this.#slots[slot]!;
    return index === EMPTY ? this.#add(slot, bytes, offset) : index;
  }

  /** Makes room for so many more. */
  reserve(count: number): void {
    const wanted = this.#length + count;
    if (wanted * this.#size > this.#digests.length) this.#enlarge(wanted);
    if (wanted * 2 > this.#slots.length) this.#spread(2 ** Math.ceil(Math.log2(wanted * 2)));
  }

  /** The slot where the digest is, or where it would go. */
  #slotOf(bytes: Buffer<ArrayBufferLike>, offset: number): number {
    const size = this.#size;
    const digests = this.#digests;
    const mask = this.#slots.length - 1;
    let slot = bytes.readUInt32LE(offset) & mask;
    for (;;) {
      const index = this.#slots[slot]!;
      if (index === EMPTY) return slot;
      const at = index * size;
      // What only lies in the same slot differs here as a rule: no native function need be called.
      const isLikely = bytes[offset + 4] === digests[at + 4] && bytes[offset + 5] === digests[at + 5];
      if (isLikely && bytes.compare(digests, at, at + size, offset, offset + size) === 0) return slot;
      slot = (slot + 1) & mask;
    }
  }

  /** All digests, one after the other. */
  bytes(): Buffer<ArrayBuffer> {
    return this.#digests.subarray(0, this.#length * this.#size);
  }

  #add(slot: number, bytes: Buffer<ArrayBufferLike>, offset: number): number {
    const size = this.#size;
    const index = this.#length++;
    const at = index * size;
    if (at === this.#digests.length) this.#enlarge(index * 2);
    bytes.copy(this.#digests, at, offset, offset + size);
    this.#slots[slot] = index;
    if (this.#length * 2 > this.#slots.length) this.#spread(this.#slots.length * 2);
    return index;
  }

  /** @param count of digests that there is to be room for. */
  #enlarge(count: number): void {
    const larger = Buffer.alloc(count * this.#size);
    larger.set(this.#digests);
    this.#digests = larger;
  }

  /** @param count of slots. */
  #spread(count: number): void {
    const slots = new Int32Array(count).fill(EMPTY);
    const mask = slots.length - 1;
    for (let index = 0; index < this.#length; index++) {
      let slot = this.#digests.readUInt32LE(index * this.#size) & mask;
      while (slots[slot] !== EMPTY) slot = (slot + 1) & mask;
      slots[slot] = index;
    }
    this.#slots = slots;
  }
}
