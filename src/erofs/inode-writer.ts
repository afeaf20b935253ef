import type { ByteString } from "../bytes.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../mode.ts";
import type { Content } from "../tree/model.ts";
import {
  BLOCK_SIZE,
  COMPACT_INODE_SIZE,
  DIRENT_SIZE,
  EXTENDED_INODE_SIZE,
  type FormatVersion,
  LAYOUT_CHUNKED,
  SLOT_SIZE,
  XATTR_HEADER_SIZE,
} from "./format.ts";
import type { InodeXattrs } from "./inode-xattrs.ts";
import type { Layout } from "./layout.ts";
import type { Placement } from "./placement.ts";
import type { ImagePlan } from "./plan.ts";
import type { ImageWindow } from "./window.ts";

/** File type bits by dirent file type. */
const TYPE_BITS = [0, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK];

/** Writes inodes with their xattrs, and then their data blocks, into an image, in the order of the plan. */
export class InodeWriter {
  readonly #window: ImageWindow;
  readonly #out: Buffer<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #plan: ImagePlan;
  readonly #xattrs: InodeXattrs;
  readonly #layout: Layout;
  readonly #placement: Placement;
  readonly #version: FormatVersion;

  constructor(
    window: ImageWindow,
    plan: ImagePlan,
    xattrs: InodeXattrs,
    layout: Layout,
    placement: Placement,
    version: FormatVersion,
  ) {
    this.#window = window;
    this.#out = window.bytes;
    this.#words = window.words;
    this.#plan = plan;
    this.#xattrs = xattrs;
    this.#layout = layout;
    this.#placement = placement;
    this.#version = version;
  }

  /** @param firstBlock number of the first data block. */
  writeInodes(firstBlock: number): void {
    const { order } = this.#plan;
    let block = firstBlock;
    for (let i = 0; i < order.length; i++) {
      const inode = order[i]!;
      const xattrSize = this.#xattrs.sizeOf(inode);
      this.#layout.set(inode, xattrSize);
      this.#write(inode, i, xattrSize, block);
      block += this.#layout.blocks;
    }
  }

  /** @param firstBlock as above; all before it has been written. */
  writeBlocks(firstBlock: number): void {
    let block = firstBlock;
    for (const inode of this.#placement.blockOwners) {
      this.#layout.set(inode, this.#xattrs.sizeOf(inode));
      this.#writeBlocks(inode, block * BLOCK_SIZE);
      block += this.#layout.blocks;
    }
  }

  /**
   * @param index of the inode in the image's order.
   * @param block number of its first data block.
   */
  #write(inode: number, index: number, xattrSize: number, block: number): void {
    const layout = this.#layout;
    const words = this.#words;
    const { stat } = this.#plan.nodes[inode]!;
    const nid = this.#placement.nids[inode]!;
    const linkCount = this.#plan.linkCounts[inode]!;
    const at = this.#window.at(nid * SLOT_SIZE, layout.metaSize + layout.tail);
    const w = at >> 2;
    const count = xattrSize === 0 ? 0 : 1 + (xattrSize - XATTR_HEADER_SIZE) / 4;
    const mode = TYPE_BITS[this.#plan.fileTypes[inode]!]! | stat.mode;
    words[w] = layout.layout | (layout.extended ? 1 : 0) | (count << 16);
    words[w + 2] = layout.sizeLow;
    words[w + 4] = this.#uField(block);
    if (layout.extended) {
      words[w + 1] = mode;
      words[w + 3] = layout.sizeHigh;
      words[w + 5] = this.#version === 2 ? nid : index;
      words[w + 6] = stat.uid;
      words[w + 7] = stat.gid;
      const seconds = Number(stat.mtime);
      if (seconds >= 0 && seconds <= Number.MAX_SAFE_INTEGER) {
        words[w + 8] = seconds;
        words[w + 9] = seconds / 0x100000000;
      } else {
        this.#out.writeBigInt64LE(stat.mtime, at + 32);
      }
      if (this.#version !== 2) words[w + 10] = stat.mtimeNsec;
      words[w + 11] = linkCount;
    } else {
      words[w + 1] = mode | (linkCount << 16);
      words[w + 5] = index;
      words[w + 6] = stat.uid | (stat.gid << 16);
    }
    if (xattrSize > 0) {
      const xattrsAt = at + (layout.extended ? EXTENDED_INODE_SIZE : COMPACT_INODE_SIZE);
      this.#xattrs.write(this.#out, words, xattrsAt, inode);
    }
    if (layout.tail > 0) this.#writeTail(inode, at + layout.metaSize);
  }

  #uField(blockNumber: number): number {
    const { blocks, layout, u } = this.#layout;
    if (blocks === 0) return u;
    return layout === LAYOUT_CHUNKED ? u | (blockNumber & 0xffff0000) : blockNumber;
  }

  /** Writes the data that an inode has behind its xattrs. */
  #writeTail(inode: number, at: number): void {
    const plan = this.#plan;
    const { layout, tail } = this.#layout;
    const node = plan.nodes[inode]!;
    if (node.kind === "directory") {
      const directory = plan.directoryOf[inode]!;
      const end = plan.firstEntries[directory + 1]!;
      let entry = plan.firstEntries[directory]!;
      for (let i = 0; i < plan.blocks[directory]!; i++) entry = plan.blockEnd(entry, end);
      this.#writeDirents(entry, end, at);
    } else if (layout === LAYOUT_CHUNKED) {
      this.#writeHoles(at, tail);
    } else {
      const data = dataOf(node.content);
      this.#out.latin1Write(tail === data.length ? data : data.slice(data.length - tail), at);
    }
  }

  /** Writes the data blocks of an inode. @param offset in the image. */
  #writeBlocks(inode: number, offset: number): void {
    const plan = this.#plan;
    const { layout, blocks } = this.#layout;
    const node = plan.nodes[inode]!;
    const directory = node.kind === "directory" ? plan.directoryOf[inode]! : 0;
    let entry = plan.firstEntries[directory]!;
    for (let i = 0; i < blocks; i++) {
      const at = this.#window.at(offset + i * BLOCK_SIZE, BLOCK_SIZE);
      if (node.kind === "directory") entry = this.#writeDirents(entry, plan.firstEntries[directory + 1]!, at);
      else if (layout === LAYOUT_CHUNKED) this.#writeHoles(at, BLOCK_SIZE);
      else this.#out.latin1Write(dataOf(node.content).slice(i * BLOCK_SIZE, (i + 1) * BLOCK_SIZE), at);
    }
  }

  /**
   * Writes as many entries as fit a block.
   * @returns the first one that does not.
   */
  #writeDirents(start: number, end: number, at: number): number {
    const words = this.#words;
    const { nids } = this.#placement;
    const { names, children, fileTypes } = this.#plan;
    const stop = this.#plan.blockEnd(start, end);
    let w = at >> 2;
    let nameOffset = DIRENT_SIZE * (stop - start);
    for (let entry = start; entry < stop; entry++) {
      const child = children[entry]!;
      words[w] = nids[child]!;
      words[w + 2] = nameOffset | (fileTypes[child]! << 16);
      w += 3;
      names.write(entry, this.#out, at + nameOffset);
      nameOffset += names.lengthOf(entry);
    }
    return stop;
  }

  /** All chunks are holes: the data is elsewhere. */
  #writeHoles(at: number, size: number): void {
    this.#words.fill(0xffffffff, at >> 2, (at + size) >> 2);
  }
}

function dataOf(content: Content): ByteString {
  if (content.type === "symlink") return content.target;
  return content.type === "inline" ? content.data : "";
}
