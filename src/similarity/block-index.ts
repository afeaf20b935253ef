import { RollingHash, slotOf } from "./rolling-hash.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

const MIN_BLOCK = 512;
/** At most so many blocks of `MIN_BLOCK` are known; of more bytes than that, the blocks are larger. */
const MAX_BLOCKS = 2 ** 21;
const MIN_BITS = 8;
/** Blocks with the same hash that are remembered: first come. */
const MAX_PROBES = 8;

/** Memory of an index, which several threads may fill and read. All of it is shared. */
export interface BlockIndexMemory {
  /** Bytes of a block. */
  readonly block: number;
  /** Hashes of all blocks, by their numbers; 0 for blocks that are of no use. */
  readonly hashes: SharedArrayBuffer;
  /** Numbers of blocks plus one, at the slots of their hashes or behind; 0 where there is none. */
  readonly slots: SharedArrayBuffer;
  /** For each file the number of its first block, and at last the number of all. */
  readonly firstBlocks: SharedArrayBuffer;
}

/** Where a block of a file is. */
export interface FoundBlock {
  readonly file: number;
  readonly offset: number;
}

/**
 * Where in many files are the bytes of a block? Files are cut into blocks of the same size, each of which is known by
 * a hash; what is looked for may begin anywhere. That the bytes are the same is for the caller to see.
 */
export class BlockIndex {
  readonly memory: BlockIndexMemory;
  readonly block: number;
  readonly #hash: RollingHash;
  readonly #hashes: Int32Array;
  readonly #slots: Int32Array;
  readonly #firstBlocks: Float64Array;
  readonly #bits: number;

  constructor(memory: BlockIndexMemory) {
    this.memory = memory;
    this.block = memory.block;
    this.#hash = new RollingHash(memory.block);
    this.#hashes = new Int32Array(memory.hashes);
    this.#slots = new Int32Array(memory.slots);
    this.#firstBlocks = new Float64Array(memory.firstBlocks);
    this.#bits = 31 - Math.clz32(this.#slots.length);
  }

  /** An index that is still empty. @param sizes of the files, in bytes. */
  static of(sizes: readonly number[]): BlockIndex {
    const total = sizes.reduce((sum, size) => sum + size, 0);
    let block = MIN_BLOCK;
    while (total / block > MAX_BLOCKS) block *= 2;
    const firstBlocks = new Float64Array(new SharedArrayBuffer((sizes.length + 1) * 8));
    let count = 0;
    sizes.forEach((size, file) => {
      firstBlocks[file] = count;
      count += Math.floor(size / block);
    });
    firstBlocks[sizes.length] = count;
    const bits = Math.max(MIN_BITS, 33 - Math.clz32(count));
    return new BlockIndex({
      block,
      hashes: new SharedArrayBuffer(count * 4),
      slots: new SharedArrayBuffer(2 ** bits * 4),
      firstBlocks: firstBlocks.buffer as SharedArrayBuffer,
    });
  }

  /**
   * Hashes whole blocks of a file; different threads may do so for different files.
   * @param offset of the bytes in the file: a multiple of the block's size.
   */
  hash(file: number, offset: number, bytes: Bytes): void {
    const { block } = this;
    let number = this.#firstBlocks[file]! + offset / block;
    for (let at = 0; at + block <= bytes.length; at += block) {
      // Of a block that is one byte over and over there is nothing to be saved.
      this.#hashes[number++] = isUniform(bytes, at, block) ? 0 : this.#hash.at(bytes, at);
    }
  }

  /** Makes the hashed blocks known, when all are. */
  finish(): void {
    const mask = this.#slots.length - 1;
    const hashes = this.#hashes;
    const slots = this.#slots;
    for (let number = 0; number < hashes.length; number++) {
      const hash = hashes[number]!;
      if (hash === 0) continue;
      let slot = slotOf(hash, this.#bits);
      for (let probes = 0; slots[slot] !== 0 && probes < MAX_PROBES; probes++) {
        // The first of several that are the same will do.
        if (hashes[slots[slot]! - 1] === hash) break;
        slot = (slot + 1) & mask;
      }
      if (slots[slot] === 0) slots[slot] = number + 1;
    }
  }

  /**
   * Calls `visit` for places from `start` on where a known block may begin, in ascending order.
   * @param visit says where to go on: behind that place.
   */
  search(bytes: Bytes, start: number, end: number, visit: (at: number, found: FoundBlock) => number): void {
    const { block } = this;
    const last = end - block;
    if (last < start || this.#hashes.length === 0) return;
    const roll = this.#hash;
    const slots = this.#slots;
    const bits = this.#bits;
    let hash = roll.at(bytes, start);
    for (let at = start; ; ) {
      if (slots[slotOf(hash, bits)] !== 0) {
        const number = this.#find(hash);
        if (number >= 0) {
          const next = Math.max(at + 1, visit(at, this.#place(number)));
          if (next > last) return;
          if (next > at + 1) {
            at = next;
            hash = roll.at(bytes, at);
            continue;
          }
        }
      }
      if (at === last) return;
      hash = roll.next(hash, bytes[at]!, bytes[at + block]!);
      at++;
    }
  }

  #find(hash: number): number {
    const mask = this.#slots.length - 1;
    let slot = slotOf(hash, this.#bits);
    for (let probes = 0; probes <= MAX_PROBES; probes++) {
      const number = this.#slots[slot]! - 1;
      if (number < 0) return -1;
      if (this.#hashes[number] === hash) return number;
      slot = (slot + 1) & mask;
    }
    return -1;
  }

  #place(number: number): FoundBlock {
    const firstBlocks = this.#firstBlocks;
    // The last file whose first block is not behind this one; files without blocks come before it.
    let low = 0;
    let high = firstBlocks.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (firstBlocks[middle]! <= number) low = middle;
      else high = middle;
    }
    return { file: low, offset: (number - firstBlocks[low]!) * this.block };
  }
}

function isUniform(bytes: Bytes, start: number, length: number): boolean {
  const first = bytes[start];
  for (let at = start + 1, end = start + length; at < end; at++) if (bytes[at] !== first) return false;
  return true;
}
