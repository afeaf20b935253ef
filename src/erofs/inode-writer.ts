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
import type { ImagePlan } from "./plan.ts";

/** File type bits by dirent file type. */
const TYPE_BITS = [0, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK];

/** Writes inodes with their xattrs and data into an image, in the order of the plan. */
export class InodeWriter {
  readonly #out: Buffer<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #plan: ImagePlan;
  readonly #xattrs: InodeXattrs;
  readonly #layout: Layout;
  readonly #nids: Uint32Array;
  readonly #version: FormatVersion;

  constructor(
    out: Buffer<ArrayBuffer>,
    plan: ImagePlan,
    xattrs: InodeXattrs,
    layout: Layout,
    nids: Uint32Array,
    version: FormatVersion,
  ) {
    this.#out = out;
    this.#words = new Uint32Array(out.buffer);
    this.#plan = plan;
    this.#xattrs = xattrs;
    this.#layout = layout;
    this.#nids = nids;
    this.#version = version;
  }

  /** @param firstBlock byte offset of the first data block. */
  writeAll(firstBlock: number): void {
    const { order } = this.#plan;
    let block = firstBlock;
    for (let i = 0; i < order.length; i++) {
      const inode = order[i]!;
      const xattrSize = this.#xattrs.sizeOf(inode);
      this.#layout.set(inode, xattrSize);
      this.#write(inode, i, xattrSize, block);
      block += this.#layout.blocks * BLOCK_SIZE;
    }
  }

  /**
   * @param index of the inode in the image's order.
   * @param block byte offset of its data blocks.
   */
  #write(inode: number, index: number, xattrSize: number, block: number): void {
    const layout = this.#layout;
    const words = this.#words;
    const { stat } = this.#plan.nodes[inode]!;
    const nid = this.#nids[inode]!;
    const linkCount = this.#plan.linkCounts[inode]!;
    const at = nid * SLOT_SIZE;
    const w = at >> 2;
    const count = xattrSize === 0 ? 0 : 1 + (xattrSize - XATTR_HEADER_SIZE) / 4;
    const mode = TYPE_BITS[this.#plan.fileTypes[inode]!]! | stat.mode;
    words[w] = layout.layout | (layout.extended ? 1 : 0) | (count << 16);
    words[w + 2] = layout.sizeLow;
    words[w + 4] = this.#uField(block / BLOCK_SIZE);
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
    this.#writeContent(inode, at + layout.metaSize, block);
  }

  #uField(blockNumber: number): number {
    const { blocks, layout, u } = this.#layout;
    if (blocks === 0) return u;
    return layout === LAYOUT_CHUNKED ? u | (blockNumber & 0xffff0000) : blockNumber;
  }

  /** @param tail where the inode's own bytes go, behind its xattrs. */
  #writeContent(inode: number, tail: number, block: number): void {
    const node = this.#plan.nodes[inode]!;
    if (node.kind === "directory") this.#writeDirectory(this.#plan.directoryOf[inode]!, tail, block);
    else if (this.#layout.layout === LAYOUT_CHUNKED) this.#writeChunks(tail, block);
    else if (this.#layout.tail > 0 || this.#layout.blocks > 0) this.#writeData(node.content, tail, block);
  }

  #writeDirectory(directory: number, tail: number, block: number): void {
    const { firstEntries, blocks } = this.#plan;
    const end = firstEntries[directory + 1]!;
    let entry = firstEntries[directory]!;
    for (let i = 0; i < blocks[directory]!; i++) {
      entry = this.#writeDirents(entry, end, block + i * BLOCK_SIZE);
    }
    if (entry < end) this.#writeDirents(entry, end, tail);
  }

  /**
   * Writes as many entries as fit a block.
   * @returns the first one that does not.
   */
  #writeDirents(start: number, end: number, at: number): number {
    const words = this.#words;
    const nids = this.#nids;
    const { names, children, fileTypes } = this.#plan;
    const stop = this.#plan.blockEnd(start, end);
    let w = at >> 2;
    let nameOffset = DIRENT_SIZE * (stop - start);
    for (let entry = start; entry < stop; entry++) {
      const child = children[entry]!;
      const name = names[entry]!;
      words[w] = nids[child]!;
      words[w + 2] = nameOffset | (fileTypes[child]! << 16);
      w += 3;
      this.#writeName(name, at + nameOffset);
      nameOffset += name.length;
    }
    return stop;
  }

  /** All chunks are holes: the data is elsewhere. */
  #writeChunks(tail: number, block: number): void {
    const layout = this.#layout;
    if (layout.blocks > 0) this.#words.fill(0xffffffff, block >> 2, (block + BLOCK_SIZE) >> 2);
    else this.#words.fill(0xffffffff, tail >> 2, (tail + layout.tail) >> 2);
  }

  #writeData(content: Content, tail: number, block: number): void {
    const data = content.type === "symlink" ? content.target : content.type === "inline" ? content.data : "";
    const inBlocks = data.length - this.#layout.tail;
    if (inBlocks === 0) {
      this.#out.latin1Write(data, tail);
      return;
    }
    this.#out.latin1Write(data.slice(0, inBlocks), block);
    this.#out.latin1Write(data.slice(inBlocks), tail);
  }

  /** Most names are so short that calling `latin1Write` takes longer, and joining them leaves strings behind. */
  #writeName(name: string, at: number): void {
    const out = this.#out;
    for (let i = 0; i < name.length; i++) out[at + i] = name.charCodeAt(i);
  }
}
