import { type Algorithm, type ObjectId, SHA256, SHA512 } from "./digest.ts";

/** Data and tree blocks are 4096 bytes (log2 12), there is no salt. */
export const BLOCK_SIZE = 4096;

const DESCRIPTOR_SIZE = 256;

type Bytes = Uint8Array<ArrayBufferLike>;

/** The native one-shot hash: no state to create, 1 to 2 µs a block. */
type BlockHash = (data: Bytes, out: Bytes) => unknown;

const hashSha256 = Bun.SHA256.hash.bind(Bun.SHA256) as BlockHash;
const defaultSha512 = Bun.SHA512.hash.bind(Bun.SHA512) as BlockHash;
let hashSha512 = defaultSha512;

/** Hashes `blocks` consecutive blocks from `data[at]` on, 1 to `LANES`, into `out` from `outAt` on. */
export type LaneHash = (data: Bytes, at: number, out: Bytes, outAt: number, blocks: number) => void;

/** So many blocks are hashed at a time where the processor can. */
export const LANES = 8;
/** Fewer blocks are hashed faster one by one. */
const MIN_LANES = 3;

let hashSha512Lanes: LaneHash | undefined;

/** Implementations of SHA-512 that are faster than Bun's, where there are any. */
export interface FastSha512 {
  readonly one: BlockHash | undefined;
  readonly lanes: LaneHash | undefined;
}

/** Hashing so many blocks takes as long as finding something faster. */
const WORTH_FINDING = 500;

let findFaster: (() => FastSha512) | undefined;
let blocksBeforeFinding = 0;

/** Tells this thread where to find something faster, once it hashes much. */
export function offerSha512(find: () => FastSha512): void {
  if (blocksBeforeFinding < WORTH_FINDING) findFaster = find;
}

/** Makes this thread use Bun's SHA-512 until it is offered something faster. */
export function resetSha512(): void {
  hashSha512 = defaultSha512;
  hashSha512Lanes = undefined;
  findFaster = undefined;
  blocksBeforeFinding = 0;
}

/** All blocks come through `BlockBuffer` as long as nothing faster is in use, but for those that files leave over. */
function countSha512(blocks: number): void {
  if (findFaster === undefined) return;
  blocksBeforeFinding += blocks;
  if (blocksBeforeFinding < WORTH_FINDING) return;
  const { one, lanes } = findFaster();
  hashSha512 = one ?? defaultSha512;
  hashSha512Lanes = lanes;
  findFaster = undefined;
}

function blockHash(algorithm: Algorithm): BlockHash {
  return algorithm.kernelId === 1 ? hashSha256 : hashSha512;
}

/**
 * Hashes as many whole blocks of `data[start, end)` as can be hashed several at a time.
 * @returns how many.
 */
function hashInLanes(
  data: Bytes,
  start: number,
  end: number,
  out: Bytes,
  outOffset: number,
  algorithm: Algorithm,
): number {
  if (hashSha512Lanes === undefined || algorithm.kernelId !== 2) return 0;
  const blocks = Math.floor((end - start) / BLOCK_SIZE);
  let done = 0;
  while (blocks - done >= MIN_LANES) {
    const count = Math.min(LANES, blocks - done);
    hashSha512Lanes(data, start + done * BLOCK_SIZE, out, outOffset + done * algorithm.size, count);
    done += count;
  }
  return done;
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
  const buffer = staging[algorithm.size];
  const done = hashInLanes(data, start, end, out, outOffset, algorithm);
  let written = outOffset + done * algorithm.size;
  for (let at = start + done * BLOCK_SIZE; at < end; at += STAGED_SIZE) {
    const length = Math.min(STAGED_SIZE, end - at);
    buffer.bytes.set(data.subarray(at, at + length));
    const leaves = buffer.hash(length);
    out.set(leaves, written);
    written += leaves.length;
  }
  return written - outOffset;
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

const descriptor = {
  1: verityDescriptor(0, new Uint8Array(0), SHA256),
  2: verityDescriptor(0, new Uint8Array(0), SHA512),
};
const descriptorDigest = { 32: Buffer.alloc(32), 64: Buffer.alloc(64) };

function finish(root: Bytes, size: number, algorithm: Algorithm): ObjectId {
  const bytes = descriptor[algorithm.kernelId];
  const digest = descriptorDigest[algorithm.size];
  bytes.writeUInt32LE(size % 0x1_0000_0000, 8);
  bytes.writeUInt32LE(Math.floor(size / 0x1_0000_0000), 12);
  bytes.fill(0, 16, 16 + 64);
  bytes.set(root, 16);
  blockHash(algorithm)(bytes, digest);
  return digest.hexSlice() as ObjectId;
}

let scratch = new Uint8Array(64 * 1024);

/** Digest of a file held in memory. */
export function fsVerityDigest(data: Bytes, algorithm: Algorithm): ObjectId {
  const needed = Math.ceil(data.length / BLOCK_SIZE) * algorithm.size;
  if (scratch.length < needed) scratch = new Uint8Array(needed);
  hashBlocks(data, 0, data.length, scratch, 0, algorithm);
  return digestFromLeaves(scratch.subarray(0, needed), data.length, algorithm);
}

/** Memory to read files into and hash them where they lie: it has one view a block, made once. */
export class BlockBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #algorithm: Algorithm;
  readonly #blocks: Uint8Array[];
  readonly #leaves: Uint8Array;
  readonly #leafViews: Uint8Array[];

  /** @param blocks of 4096 bytes. */
  constructor(blocks: number, algorithm: Algorithm) {
    const { size } = algorithm;
    const bytes = new Uint8Array(blocks * BLOCK_SIZE);
    const leaves = new Uint8Array(blocks * size);
    this.bytes = bytes;
    this.#algorithm = algorithm;
    this.#blocks = Array.from({ length: blocks }, (_, i) =>
      bytes.subarray(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE),
    );
    this.#leaves = leaves;
    this.#leafViews = Array.from({ length: blocks }, (_, i) => leaves.subarray(i * size, (i + 1) * size));
  }

  /** Hashes of the blocks of the first `length` bytes; the rest of the last block is overwritten with zeros. */
  hash(length: number): Uint8Array {
    const blocks = Math.ceil(length / BLOCK_SIZE);
    this.bytes.fill(0, length, blocks * BLOCK_SIZE);
    if (this.#algorithm.kernelId === 2) countSha512(blocks);
    const done = hashInLanes(this.bytes, 0, blocks * BLOCK_SIZE, this.#leaves, 0, this.#algorithm);
    const hash = blockHash(this.#algorithm);
    for (let i = done; i < blocks; i++) hash(this.#blocks[i]!, this.#leafViews[i]!);
    return this.#leaves.subarray(0, blocks * this.#algorithm.size);
  }

  /** Digest of a file that is the first `length` bytes. */
  digest(length: number): ObjectId {
    return digestFromLeaves(this.hash(length), length, this.#algorithm);
  }
}

/**
 * Blocks that lie elsewhere are copied here before they are hashed. The copy costs less than the views of each block
 * that it saves: with two views a block, garbage made up half of the memory of a pull.
 */
const STAGED_BLOCKS = 16;
const STAGED_SIZE = STAGED_BLOCKS * BLOCK_SIZE;
const staging = { 32: new BlockBuffer(STAGED_BLOCKS, SHA256), 64: new BlockBuffer(STAGED_BLOCKS, SHA512) };

const stagedHashes = new Uint8Array(STAGED_BLOCKS * SHA512.size);

/** Digest of a file whose bytes arrive in pieces of any size; memory is one block a level. */
export class VerityHasher {
  readonly #algorithm: Algorithm;
  readonly #partial = new Uint8Array(BLOCK_SIZE);
  #partialLength = 0;
  #size = 0;
  /** Per tree level, the block that is being filled with hashes of the level below. */
  readonly #levels: { block: Uint8Array; length: number }[] = [];
  readonly #out: Uint8Array;

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm;
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
    const wholeEnd = data.length - ((data.length - offset) % BLOCK_SIZE);
    while (offset < wholeEnd) {
      const end = Math.min(offset + STAGED_SIZE, wholeEnd);
      const written = hashBlocks(data, offset, end, stagedHashes, 0, this.#algorithm);
      this.#appendAll(stagedHashes, written);
      offset = end;
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
    this.#appendAll(hashes, hashes.length);
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

  #appendAll(hashes: Bytes, end: number): void {
    for (let at = 0; at < end; at += this.#algorithm.size) {
      this.#out.set(hashes.subarray(at, at + this.#algorithm.size));
      this.#append(0);
    }
  }

  #addBlock(block: Bytes): void {
    blockHash(this.#algorithm)(block, this.#out);
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
    blockHash(this.#algorithm)(level.block, this.#out);
    level.length = 0;
    this.#append(index + 1);
  }
}
