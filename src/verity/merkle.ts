import type { Algorithm, ObjectId } from "./digest.ts";

/** Data and tree blocks are 4096 bytes (log2 12), there is no salt. */
export const BLOCK_SIZE = 4096;

const DESCRIPTOR_SIZE = 256;

type Bytes = Uint8Array<ArrayBufferLike>;

/** Hashes of 4096-byte blocks by the native one-shot hash: no state to create, 2 µs a block. */
function nativeHash(algorithm: Algorithm): (data: Bytes, out: Bytes) => unknown {
  const hasher = algorithm.kernelId === 1 ? Bun.SHA256 : Bun.SHA512;
  return (data, out) => hasher.hash(data as Uint8Array<ArrayBuffer>, out as Uint8Array<ArrayBuffer>);
}

/**
 * Hashes the blocks of `data[start, end)` into `out` from `outOffset` on; a last partial block is padded with zeros.
 * @returns the number of digest bytes written.
 */
export function hashBlocks(
  data: Bytes,
  start: number,
  end: number,
  out: Bytes,
  outOffset: number,
  algorithm: Algorithm,
): number {
  const hash = nativeHash(algorithm);
  const { size } = algorithm;
  let at = outOffset;
  let offset = start;
  for (; offset + BLOCK_SIZE <= end; offset += BLOCK_SIZE, at += size) {
    hash(data.subarray(offset, offset + BLOCK_SIZE), out.subarray(at, at + size));
  }
  if (offset < end) {
    const last = new Uint8Array(BLOCK_SIZE);
    last.set(data.subarray(offset, end));
    hash(last, out.subarray(at, at + size));
    at += size;
  }
  return at - outOffset;
}

/**
 * The fs-verity descriptor of a file: what its digest is a hash of (include/uapi/linux/fsverity.h,
 * `struct fsverity_descriptor`). `root` is all zeros for an empty file.
 */
export function verityDescriptor(size: number, root: Bytes, algorithm: Algorithm): Buffer<ArrayBuffer> {
  const descriptor = Buffer.alloc(DESCRIPTOR_SIZE);
  descriptor[0] = 1;
  descriptor[1] = algorithm.kernelId;
  descriptor[2] = 12;
  descriptor.writeBigUInt64LE(BigInt(size), 8);
  descriptor.set(root, 16);
  return descriptor;
}

/**
 * Digest of a file from the hashes of its data blocks, which other threads may have computed.
 * @param leaves concatenated hashes of all data blocks; overwritten.
 * @param size of the file in bytes.
 */
export function digestFromLeaves(leaves: Bytes, size: number, algorithm: Algorithm): ObjectId {
  let level = leaves;
  while (level.length > algorithm.size) {
    // A block's hash is never longer than the block, so a level can be hashed over its own beginning.
    const length = hashBlocks(level, 0, level.length, level, 0, algorithm);
    level = level.subarray(0, length);
  }
  return finish(level, size, algorithm);
}

const digestOut = Buffer.alloc(64);

function finish(root: Bytes, size: number, algorithm: Algorithm): ObjectId {
  const descriptor = verityDescriptor(size, root, algorithm);
  const hash = nativeHash(algorithm);
  hash(descriptor, digestOut.subarray(0, algorithm.size));
  return digestOut.hexSlice(0, algorithm.size) as ObjectId;
}

let scratch = new Uint8Array(64 * 1024);

/** Digest of a file held in memory. */
export function fsVerityDigest(data: Bytes, algorithm: Algorithm): ObjectId {
  const needed = Math.ceil(data.length / BLOCK_SIZE) * algorithm.size;
  if (scratch.length < needed) scratch = new Uint8Array(needed);
  hashBlocks(data, 0, data.length, scratch, 0, algorithm);
  return digestFromLeaves(scratch.subarray(0, needed), data.length, algorithm);
}

/** Digest of a file whose bytes arrive in pieces of any size; memory is one block a level. */
export class VerityHasher {
  readonly #algorithm: Algorithm;
  readonly #hash: (data: Bytes, out: Bytes) => unknown;
  readonly #partial = new Uint8Array(BLOCK_SIZE);
  #partialLength = 0;
  #size = 0;
  /** Per tree level, the block that is being filled with hashes of the level below. */
  readonly #levels: { block: Uint8Array; length: number }[] = [];
  readonly #out: Uint8Array;

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm;
    this.#hash = nativeHash(algorithm);
    this.#out = new Uint8Array(algorithm.size);
  }

  /** Bytes seen so far. */
  get size(): number {
    return this.#size;
  }

  update(data: Bytes): void {
    this.#size += data.length;
    let offset = 0;
    if (this.#partialLength > 0) {
      offset = Math.min(BLOCK_SIZE - this.#partialLength, data.length);
      this.#partial.set(data.subarray(0, offset), this.#partialLength);
      this.#partialLength += offset;
      if (this.#partialLength < BLOCK_SIZE) return;
      this.#addBlock(this.#partial);
      this.#partialLength = 0;
    }
    for (; offset + BLOCK_SIZE <= data.length; offset += BLOCK_SIZE) {
      this.#addBlock(data.subarray(offset, offset + BLOCK_SIZE));
    }
    if (offset < data.length) {
      this.#partial.set(data.subarray(offset), 0);
      this.#partialLength = data.length - offset;
    }
  }

  /**
   * As `update`, for data whose blocks were hashed elsewhere (see `hashBlocks`).
   * @param size of that data in bytes; a multiple of 4096 unless it is the end of the file.
   */
  updateHashed(hashes: Bytes, size: number): void {
    this.#size += size;
    for (let at = 0; at < hashes.length; at += this.#algorithm.size) {
      this.#out.set(hashes.subarray(at, at + this.#algorithm.size));
      this.#append(0);
    }
  }

  digest(): ObjectId {
    if (this.#partialLength > 0) {
      this.#partial.fill(0, this.#partialLength);
      this.#addBlock(this.#partial);
      this.#partialLength = 0;
    }
    // Every level holds at least one hash. All but a lone hash at the top are padded and hashed upwards.
    for (let i = 0; i < this.#levels.length; i++) {
      const level = this.#levels[i]!;
      const isTop = i === this.#levels.length - 1;
      if (isTop && level.length === this.#algorithm.size) break;
      if (level.length > 0) this.#closeBlock(i);
    }
    const root = this.#levels.at(-1)?.block.subarray(0, this.#algorithm.size) ?? new Uint8Array(0);
    return finish(root, this.#size, this.#algorithm);
  }

  #addBlock(block: Bytes): void {
    this.#hash(block, this.#out);
    this.#append(0);
  }

  /** Adds the hash in `#out` to a level; a full block is hashed when the next hash arrives. */
  #append(index: number): void {
    let level = this.#levels[index];
    if (level === undefined) {
      level = { block: new Uint8Array(BLOCK_SIZE), length: 0 };
      this.#levels.push(level);
    }
    if (level.length === BLOCK_SIZE) {
      const pending = this.#out.slice();
      this.#closeBlock(index);
      this.#out.set(pending);
    }
    level.block.set(this.#out, level.length);
    level.length += this.#algorithm.size;
  }

  #closeBlock(index: number): void {
    const level = this.#levels[index]!;
    level.block.fill(0, level.length);
    this.#hash(level.block, this.#out);
    level.length = 0;
    this.#append(index + 1);
  }
}
