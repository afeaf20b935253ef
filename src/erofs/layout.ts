import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { Content, Leaf, Stat } from "../tree/model.ts";
import {
  BLOCK_BITS,
  BLOCK_SIZE,
  COMPACT_INODE_SIZE,
  EXTENDED_INODE_SIZE,
  type FormatVersion,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  MAX_CHUNK_BITS,
  MAX_CHUNKS,
  MAX_INLINE_V2,
  MAX_SYMLINK,
  SLOT_SIZE,
} from "./format.ts";
import type { Time } from "./minimum-time.ts";
import type { ImagePlan } from "./plan.ts";

/**
 * How one inode is written. It follows from the plan and the size of the xattrs alone, so it is worked out twice, to
 * place the inodes and to write them, instead of being kept for all of them in between.
 */
export class Layout {
  layout = LAYOUT_PLAIN;
  sizeLow = 0;
  sizeHigh = 0;
  /** The `u` field where it is no block number: chunk format or device number. */
  u = 0;
  /** Bytes behind the xattrs. */
  tail = 0;
  /** Data blocks of its own. */
  blocks = 0;
  extended = false;
  /** Bytes of the inode with its xattrs. */
  metaSize = 0;
  readonly #plan: ImagePlan;
  readonly #version: FormatVersion;
  readonly #time: Time;

  constructor(plan: ImagePlan, version: FormatVersion, time: Time) {
    this.#plan = plan;
    this.#version = version;
    this.#time = time;
  }

  /** @throws CfsError Invalid or Unsupported for content that no valid image can hold. */
  set(inode: number, xattrSize: number): void {
    const plan = this.#plan;
    const node = plan.nodes[inode]!;
    this.layout = LAYOUT_PLAIN;
    this.sizeLow = 0;
    this.sizeHigh = 0;
    this.u = 0;
    this.tail = 0;
    this.blocks = 0;
    if (node.kind === "directory") this.#setDirectory(plan.directoryOf[inode]!);
    else if (!plan.isEscaped(inode)) this.#setLeaf(node, xattrSize);
    this.extended = this.#needsExtended(node.stat, plan.linkCounts[inode]!);
    this.metaSize = (this.extended ? EXTENDED_INODE_SIZE : COMPACT_INODE_SIZE) + xattrSize;
    if (node.kind === "leaf" && node.content.type === "symlink") this.#moveLongSymlink();
  }

  #needsExtended(stat: Stat, linkCount: number): boolean {
    const time = this.#time;
    return (
      this.#version === 2 ||
      this.sizeHigh !== 0 ||
      linkCount > 0xffff ||
      stat.uid > 0xffff ||
      stat.gid > 0xffff ||
      stat.mtimeNsec !== time.mtimeNsec ||
      (time.seconds < 0 ? stat.mtime !== time.mtime : Number(stat.mtime) !== time.seconds)
    );
  }

  #setDirectory(directory: number): void {
    this.blocks = this.#plan.blocks[directory]!;
    this.tail = this.#plan.tails[directory]!;
    this.layout = this.tail > 0 ? LAYOUT_INLINE : LAYOUT_PLAIN;
    this.sizeLow = BLOCK_SIZE * this.blocks + this.tail;
  }

  #setLeaf(leaf: Leaf, xattrSize: number): void {
    const { content } = leaf;
    switch (content.type) {
      case "inline":
        this.#setInline(content.data);
        break;
      case "symlink":
        this.#setSymlink(content.target);
        break;
      case "char":
      case "block":
        if (content.rdev < 0n || content.rdev > 0xffffffffn) {
          throw new CfsError("Invalid", `device number ${content.rdev} does not fit an EROFS image`);
        }
        this.u = Number(content.rdev);
        break;
      case "external":
      case "external-no-verity":
      case "backed":
      case "sparse":
        this.#setChunked(content, xattrSize);
        break;
    }
  }

  #setInline(data: ByteString): void {
    const size = data.length;
    this.sizeLow = size;
    if (this.#version === 2) {
      if (size > MAX_INLINE_V2) {
        throw new CfsError(
          "Unsupported",
          `inline file of ${size} bytes: images of version 2 hold at most ${MAX_INLINE_V2}`,
        );
      }
      this.tail = size;
    } else {
      const rest = size % BLOCK_SIZE;
      const ownBlock = rest > BLOCK_SIZE / 2;
      this.blocks = Math.floor(size / BLOCK_SIZE) + (ownBlock ? 1 : 0);
      this.tail = ownBlock ? 0 : rest;
    }
    this.layout = this.tail > 0 ? LAYOUT_INLINE : LAYOUT_PLAIN;
  }

  #setSymlink(target: ByteString): void {
    const size = target.length;
    if (size > MAX_SYMLINK) {
      throw new CfsError("Invalid", `symlink target of ${size} bytes; the limit is ${MAX_SYMLINK}`);
    }
    this.sizeLow = size;
    this.layout = LAYOUT_INLINE;
    this.tail = size;
  }

  /** Versions 0 and 1: a target that fits no block together with its inode gets a block of its own. */
  #moveLongSymlink(): void {
    if (this.#version === 2 || this.metaSize + this.tail < BLOCK_SIZE) return;
    this.layout = LAYOUT_PLAIN;
    this.blocks = 1;
    this.tail = 0;
  }

  #setChunked(
    content: Extract<Content, { type: "external" | "external-no-verity" | "backed" | "sparse" }>,
    xattrSize: number,
  ): void {
    if (content.size < 0n || content.size > 0xffffffffffffffffn) {
      throw new CfsError("Invalid", `file size ${content.size} does not fit 64 bits`);
    }
    this.layout = LAYOUT_CHUNKED;
    const size = Number(content.size);
    if (size <= Number.MAX_SAFE_INTEGER) {
      this.sizeLow = size >>> 0;
      this.sizeHigh = Math.floor(size / 0x100000000);
    } else {
      this.sizeLow = Number(content.size & 0xffffffffn);
      this.sizeHigh = Number(content.size >> 32n);
    }
    if (this.#version === 2) {
      this.u = MAX_CHUNK_BITS - BLOCK_BITS;
      this.tail =
        "id" in content && content.type !== "external-no-verity" && content.id !== undefined ? 4 : 0;
      return;
    }
    if (size <= 0x80000000) {
      const bits = size <= BLOCK_SIZE ? BLOCK_BITS : 32 - Math.clz32(size - 1);
      this.u = bits - BLOCK_BITS;
      this.tail = size === 0 ? 0 : 4;
      return;
    }
    const bits = Math.min(MAX_CHUNK_BITS, (content.size - 1n).toString(2).length);
    const chunks = Number((content.size + (1n << BigInt(bits)) - 1n) >> BigInt(bits));
    if (chunks > MAX_CHUNKS) {
      throw new CfsError("Unsupported", `file of ${content.size} bytes: an EROFS image holds at most 2^53`);
    }
    this.u = bits - BLOCK_BITS;
    this.tail = 4 * chunks;
    if (this.tail + (xattrSize % SLOT_SIZE) > BLOCK_SIZE) {
      this.tail = 0;
      this.blocks = 1;
    }
  }
}
