import type { ByteString } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import type { Content, Directory, Leaf } from "../tree/model.ts";
import type { Algorithm } from "../verity/digest.ts";
import {
  BLOCK_BITS,
  BLOCK_SIZE,
  COMPACT_INODE_SIZE,
  COMPOSEFS_MAGIC,
  DIRENT_SIZE,
  EROFS_MAGIC,
  EXTENDED_INODE_SIZE,
  FEATURE_COMPAT,
  type FormatVersion,
  HEADER,
  HEADER_FLAG_ACL,
  HEADER_VERSION,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  MAX_CHUNK_BITS,
  MAX_CHUNKS,
  MAX_IMAGE_SIZE,
  MAX_INLINE_V2,
  MAX_SYMLINK,
  METACOPY,
  OPAQUE,
  roundUp,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
  SLOT_SIZE,
  SUPERBLOCK,
  WHITEOUT_DIRECTORY_MARKERS,
  WHITEOUT_MARKERS,
  WHITEOUT_OPAQUE_MARKERS,
  XATTR_HEADER_SIZE,
} from "./format.ts";
import { type DirectoryPlan, type Inode, inodePath, planInodes } from "./plan.ts";
import { XattrTable } from "./xattrs.ts";

/** File type bits by dirent file type. */
const TYPE_BITS = [0, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK];

type Marker = readonly [ByteString, ByteString];

/**
 * Makes the EROFS image of a tree: a pure function, whose result has one possible value for a tree, a format version
 * and an algorithm.
 *
 * @param root is not changed.
 * @returns the image; its length is a multiple of 4096.
 * @throws CfsError Invalid or Unsupported when the tree holds what no valid image can: names above 255 bytes, device
 *   numbers above 32 bits, too many or too large xattrs, hard-linked whiteouts, …
 */
export function writeImage(
  root: Directory,
  version: FormatVersion,
  algorithm: Algorithm,
): Uint8Array<ArrayBuffer> {
  const inodes = planInodes(root, version);
  const table = new XattrTable(version, algorithm);
  forEachInode(inodes, (inode) => assignXattrs(inode, inode === inodes[0], table, version));
  const sharedSize = table.finish();
  const time = minimumTime(inodes);
  forEachInode(inodes, (inode) => layOut(inode, table, version, time));

  const inodesEnd = placeInodes(inodes, version);
  const metadataEnd = roundUp(inodesEnd + sharedSize, BLOCK_SIZE);
  let blocks = metadataEnd / BLOCK_SIZE;
  for (const inode of inodes) {
    if (inode.blocks === 0) continue;
    if (inode.layout === LAYOUT_CHUNKED) inode.u |= blocks & 0xffff0000;
    else inode.u = blocks;
    blocks += inode.blocks;
  }
  if (blocks * BLOCK_SIZE > MAX_IMAGE_SIZE) {
    throw new CfsError(
      "Unsupported",
      `image would have ${blocks * BLOCK_SIZE} bytes; the limit is ${MAX_IMAGE_SIZE}`,
    );
  }
  table.place((version === 2 ? inodesEnd : inodesEnd % BLOCK_SIZE) / 4);

  const out = Buffer.from(new ArrayBuffer(blocks * BLOCK_SIZE));
  const words = new Uint32Array(out.buffer);
  words[HEADER.magic / 4] = COMPOSEFS_MAGIC;
  words[HEADER.version / 4] = HEADER_VERSION;
  words[HEADER.flags / 4] = version !== 2 && table.hasAcl() ? HEADER_FLAG_ACL : 0;
  words[HEADER.composefsVersion / 4] = version;
  words[SUPERBLOCK.magic / 4] = EROFS_MAGIC;
  words[SUPERBLOCK.featureCompat / 4] = FEATURE_COMPAT;
  out[SUPERBLOCK.blockBits] = BLOCK_BITS;
  out.writeUInt16LE(inodes[0]!.at / SLOT_SIZE, SUPERBLOCK.rootNid);
  words[SUPERBLOCK.inodes / 4] = inodes.length;
  if (version !== 2) {
    out.writeBigInt64LE(time.mtime, SUPERBLOCK.buildTime);
    words[SUPERBLOCK.buildTimeNsec / 4] = time.mtimeNsec;
    words[SUPERBLOCK.xattrBlock / 4] = Math.floor(inodesEnd / BLOCK_SIZE);
  }
  words[SUPERBLOCK.blocks / 4] = blocks;

  const writer = new InodeWriter(out, words, table, version);
  let nextBlock = metadataEnd;
  for (let i = 0; i < inodes.length; i++) {
    const inode = inodes[i]!;
    writer.write(inode, i, nextBlock);
    nextBlock += inode.blocks * BLOCK_SIZE;
  }
  table.writeShared(out, words, inodesEnd);
  return out;
}

/** Names the file in errors. */
function forEachInode(inodes: readonly Inode[], work: (inode: Inode) => void): void {
  for (const inode of inodes) {
    try {
      work(inode);
    } catch (error) {
      throw withContext(inodePath(inodes[0]!, inode), error);
    }
  }
}

function assignXattrs(inode: Inode, isRoot: boolean, table: XattrTable, version: FormatVersion): void {
  const { node } = inode;
  const { xattrs } = node.stat;
  if (node.kind === "directory") {
    const markers = directoryMarkers(inode, isRoot, version);
    inode.set = markers.length === 0 ? table.useSet(xattrs) : table.useSetWith(xattrs, [], markers);
    return;
  }
  const { content } = node;
  if (content.type === "external") {
    inode.object = table.useObject(content.id);
    inode.set = table.useSet(xattrs);
  } else if (inode.escaped) {
    inode.set = table.useSetWith(xattrs, [], empty(WHITEOUT_MARKERS));
  } else if (content.type === "external-no-verity") {
    inode.set = table.useSetWith(xattrs, table.plainObjectPairs(content.id), []);
  } else if (content.type === "sparse") {
    inode.set = table.useSetWith(xattrs, [[METACOPY, ""]], []);
  } else {
    inode.set = table.useSet(xattrs);
  }
}

function empty(names: readonly ByteString[]): Marker[] {
  return names.map((name) => [name, ""]);
}

function directoryMarkers(inode: Inode, isRoot: boolean, version: FormatVersion): Marker[] {
  const markers: Marker[] = [];
  if (inode.directory!.holdsEscaped) {
    markers.push(...empty(WHITEOUT_DIRECTORY_MARKERS));
    if (version === 1) for (const name of WHITEOUT_OPAQUE_MARKERS) markers.push([name, "x"]);
  }
  if (isRoot && version !== 2) markers.push([OPAQUE, "y"]);
  return markers;
}

interface Time {
  mtime: bigint;
  /** The same as a number where it is exact and not negative, else -1. */
  seconds: number;
  mtimeNsec: number;
}

/** The least (seconds, nanoseconds), where seconds compare as unsigned numbers: compact inodes carry no time. */
function minimumTime(inodes: readonly Inode[]): Time {
  let seconds = Number.POSITIVE_INFINITY;
  let nsec = 0;
  for (const inode of inodes) {
    const { stat } = inode.node;
    const s = Number(stat.mtime);
    if (s >= 0 && (s < seconds || (s === seconds && stat.mtimeNsec < nsec))) {
      seconds = s;
      nsec = stat.mtimeNsec;
    }
  }
  if (seconds <= Number.MAX_SAFE_INTEGER) return { mtime: BigInt(seconds), seconds, mtimeNsec: nsec };
  // Only times before 1970 or beyond 2^53 seconds: rare enough for exact arithmetic on all of them.
  let least = BigInt.asUintN(64, inodes[0]!.node.stat.mtime);
  nsec = inodes[0]!.node.stat.mtimeNsec;
  for (const { node } of inodes) {
    const unsigned = BigInt.asUintN(64, node.stat.mtime);
    if (unsigned < least || (unsigned === least && node.stat.mtimeNsec < nsec)) {
      least = unsigned;
      nsec = node.stat.mtimeNsec;
    }
  }
  return { mtime: BigInt.asIntN(64, least), seconds: -1, mtimeNsec: nsec };
}

/** Decides layout, size, tail, number of blocks and inode size. */
function layOut(inode: Inode, table: XattrTable, version: FormatVersion, time: Time): void {
  const { node } = inode;
  inode.xattrSize = table.sizeOf(inode.set, inode.object);
  if (node.kind === "directory") {
    const plan = inode.directory!;
    const { blockEnds } = plan;
    inode.blocks = blockEnds.length;
    inode.tail = tailSize(plan);
    inode.layout = inode.tail > 0 ? LAYOUT_INLINE : LAYOUT_PLAIN;
    inode.sizeLow = BLOCK_SIZE * inode.blocks + inode.tail;
  } else if (!inode.escaped) {
    layOutLeaf(inode, node, version);
  }
  const { stat } = node;
  inode.extended =
    version === 2 ||
    inode.sizeHigh !== 0 ||
    inode.nlink > 0xffff ||
    stat.uid > 0xffff ||
    stat.gid > 0xffff ||
    stat.mtimeNsec !== time.mtimeNsec ||
    (time.seconds < 0 ? stat.mtime !== time.mtime : Number(stat.mtime) !== time.seconds);
}

function tailSize(plan: DirectoryPlan): number {
  const { names, blockEnds } = plan;
  if (blockEnds.length === 0) return plan.joined.length + DIRENT_SIZE * names.length;
  let size = 0;
  for (let i = blockEnds.at(-1)!; i < names.length; i++) size += DIRENT_SIZE + names[i]!.length;
  return size;
}

function layOutLeaf(inode: Inode, leaf: Leaf, version: FormatVersion): void {
  const { content } = leaf;
  switch (content.type) {
    case "inline":
      layOutInline(inode, content.data, version);
      break;
    case "symlink":
      layOutSymlink(inode, content.target);
      break;
    case "char":
    case "block":
      if (content.rdev < 0n || content.rdev > 0xffffffffn) {
        throw new CfsError("Invalid", `device number ${content.rdev} does not fit an EROFS image`);
      }
      inode.u = Number(content.rdev);
      break;
    case "external":
    case "external-no-verity":
    case "sparse":
      layOutChunked(inode, content, version);
      break;
  }
}

function layOutInline(inode: Inode, data: ByteString, version: FormatVersion): void {
  const size = data.length;
  inode.sizeLow = size;
  if (version === 2) {
    if (size > MAX_INLINE_V2) {
      throw new CfsError(
        "Unsupported",
        `inline file of ${size} bytes: images of version 2 hold at most ${MAX_INLINE_V2}`,
      );
    }
    inode.tail = size;
  } else {
    const rest = size % BLOCK_SIZE;
    const ownBlock = rest > BLOCK_SIZE / 2;
    inode.blocks = Math.floor(size / BLOCK_SIZE) + (ownBlock ? 1 : 0);
    inode.tail = ownBlock ? 0 : rest;
  }
  inode.layout = inode.tail > 0 ? LAYOUT_INLINE : LAYOUT_PLAIN;
}

function layOutSymlink(inode: Inode, target: ByteString): void {
  const size = target.length;
  if (size === 0) throw new CfsError("Invalid", "symlink target is empty");
  if (size > MAX_SYMLINK) {
    throw new CfsError("Invalid", `symlink target of ${size} bytes; the limit is ${MAX_SYMLINK}`);
  }
  inode.sizeLow = size;
  inode.layout = LAYOUT_INLINE;
  inode.tail = size;
}

function layOutChunked(
  inode: Inode,
  content: Extract<Content, { type: "external" | "external-no-verity" | "sparse" }>,
  version: FormatVersion,
): void {
  if (content.size < 0n || content.size > 0xffffffffffffffffn) {
    throw new CfsError("Invalid", `file size ${content.size} does not fit 64 bits`);
  }
  inode.layout = LAYOUT_CHUNKED;
  const size = Number(content.size);
  if (size <= Number.MAX_SAFE_INTEGER) {
    inode.sizeLow = size >>> 0;
    inode.sizeHigh = Math.floor(size / 0x100000000);
  } else {
    inode.sizeLow = Number(content.size & 0xffffffffn);
    inode.sizeHigh = Number(content.size >> 32n);
  }
  if (version === 2) {
    inode.u = MAX_CHUNK_BITS - BLOCK_BITS;
    inode.tail = content.type === "external" ? 4 : 0;
    return;
  }
  if (size <= 0x80000000) {
    const bits = size <= BLOCK_SIZE ? BLOCK_BITS : 32 - Math.clz32(size - 1);
    inode.u = bits - BLOCK_BITS;
    inode.tail = size === 0 ? 0 : 4;
    return;
  }
  const bits = Math.min(MAX_CHUNK_BITS, (content.size - 1n).toString(2).length);
  const chunks = Number((content.size + (1n << BigInt(bits)) - 1n) >> BigInt(bits));
  if (chunks > MAX_CHUNKS) {
    throw new CfsError("Unsupported", `file of ${content.size} bytes: an EROFS image holds at most 2^53`);
  }
  inode.u = bits - BLOCK_BITS;
  inode.tail = 4 * chunks;
  if (inode.tail + (inode.xattrSize % SLOT_SIZE) > BLOCK_SIZE) {
    inode.tail = 0;
    inode.blocks = 1;
  }
}

/**
 * Gives every inode its offset.
 * @returns the end of the inode area, a multiple of 32.
 */
function placeInodes(inodes: readonly Inode[], version: FormatVersion): number {
  let at: number = SUPERBLOCK.end;
  for (const inode of inodes) {
    at = (at + SLOT_SIZE - 1) & -SLOT_SIZE;
    const meta = (inode.extended ? EXTENDED_INODE_SIZE : COMPACT_INODE_SIZE) + inode.xattrSize;
    at = version === 2 ? padDepthFirst(at, meta, inode) : padBreadthFirst(at, meta, inode);
    inode.at = at;
    at += meta + inode.tail;
    // Beyond this no arithmetic on 32-bit integers is safe, and no reader takes the image.
    if (at > MAX_IMAGE_SIZE) {
      throw new CfsError("Unsupported", `image would have more than ${MAX_IMAGE_SIZE} bytes`);
    }
  }
  return roundUp(at, SLOT_SIZE);
}

/** Versions 0 and 1: a tail must not cross a block, a symlink as a whole must not where it can be avoided. */
function padBreadthFirst(at: number, meta: number, inode: Inode): number {
  if (inode.layout === LAYOUT_CHUNKED && inode.blocks > 0) return roundUp(at, BLOCK_SIZE);
  const content = inode.node.kind === "leaf" ? inode.node.content : undefined;
  if (content?.type === "symlink") {
    const total = meta + content.target.length;
    if (total >= BLOCK_SIZE) {
      inode.layout = LAYOUT_PLAIN;
      inode.blocks = 1;
      inode.tail = 0;
      const crosses = at >>> BLOCK_BITS !== (at + total - 1) >>> BLOCK_BITS;
      return crosses ? roundUp(at, BLOCK_SIZE) : at;
    }
    return (at & (BLOCK_SIZE - 1)) + total > BLOCK_SIZE ? roundUp(at, BLOCK_SIZE) : at;
  }
  if (inode.tail > 0) {
    const room = BLOCK_SIZE - ((at + meta) & (BLOCK_SIZE - 1));
    if (room < inode.tail) return at + roundUp(room, SLOT_SIZE);
  }
  return at;
}

/** Version 2: an inline tail starts in the block where the xattrs end, and ends before that block's end. */
function padDepthFirst(at: number, meta: number, inode: Inode): number {
  if (inode.layout !== LAYOUT_INLINE) return at;
  const last = at + meta - 1;
  const rest = inode.sizeLow & (BLOCK_SIZE - 1);
  if (last >>> BLOCK_BITS === (at + meta + rest) >>> BLOCK_BITS) return at;
  return roundUp(at + BLOCK_SIZE - (last & (BLOCK_SIZE - 1)), SLOT_SIZE);
}

class InodeWriter {
  readonly #out: Buffer<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #table: XattrTable;
  readonly #version: FormatVersion;

  constructor(out: Buffer<ArrayBuffer>, words: Uint32Array, table: XattrTable, version: FormatVersion) {
    this.#out = out;
    this.#words = words;
    this.#table = table;
    this.#version = version;
  }

  /**
   * @param index of the inode in the image's order.
   * @param block byte offset of its data blocks.
   */
  write(inode: Inode, index: number, block: number): void {
    const { stat } = inode.node;
    const words = this.#words;
    const w = inode.at >> 2;
    const count = inode.xattrSize === 0 ? 0 : 1 + (inode.xattrSize - XATTR_HEADER_SIZE) / 4;
    const mode = TYPE_BITS[inode.fileType]! | stat.mode;
    words[w] = inode.layout | (inode.extended ? 1 : 0) | (count << 16);
    words[w + 2] = inode.sizeLow;
    words[w + 4] = inode.u;
    let at = inode.at;
    if (inode.extended) {
      words[w + 1] = mode;
      words[w + 3] = inode.sizeHigh;
      words[w + 5] = this.#version === 2 ? inode.at / SLOT_SIZE : index;
      words[w + 6] = stat.uid;
      words[w + 7] = stat.gid;
      const seconds = Number(stat.mtime);
      if (seconds >= 0 && seconds <= Number.MAX_SAFE_INTEGER) {
        words[w + 8] = seconds;
        words[w + 9] = seconds / 0x100000000;
      } else {
        this.#out.writeBigInt64LE(stat.mtime, inode.at + 32);
      }
      if (this.#version !== 2) words[w + 10] = stat.mtimeNsec;
      words[w + 11] = inode.nlink;
      at += EXTENDED_INODE_SIZE;
    } else {
      words[w + 1] = mode | (inode.nlink << 16);
      words[w + 5] = index;
      words[w + 6] = stat.uid | (stat.gid << 16);
      at += COMPACT_INODE_SIZE;
    }
    if (inode.xattrSize > 0) this.#table.write(this.#out, words, at, inode.set, inode.object);
    at += inode.xattrSize;
    if (inode.directory !== undefined) this.#writeDirectory(inode, inode.directory, at, block);
    else if (inode.layout === LAYOUT_CHUNKED) this.#writeChunks(inode, at, block);
    else if (inode.tail > 0 || inode.blocks > 0) this.#writeData(inode, at, block);
  }

  #writeDirectory(inode: Inode, plan: DirectoryPlan, tail: number, block: number): void {
    let start = 0;
    let at = block;
    for (const end of plan.blockEnds) {
      this.#writeDirents(plan, start, end, at);
      start = end;
      at += BLOCK_SIZE;
    }
    if (inode.tail > 0) this.#writeDirents(plan, start, plan.names.length, tail);
  }

  #writeDirents(plan: DirectoryPlan, start: number, end: number, at: number): void {
    const words = this.#words;
    const { names, children } = plan;
    const whole = start === 0 && end === names.length;
    this.#out.latin1Write(
      whole ? plan.joined : names.slice(start, end).join(""),
      at + DIRENT_SIZE * (end - start),
    );
    let w = at >> 2;
    let nameOffset = DIRENT_SIZE * (end - start);
    for (let i = start; i < end; i++) {
      const child = children[i]!;
      words[w] = child.at / SLOT_SIZE;
      words[w + 2] = nameOffset | (child.fileType << 16);
      w += 3;
      nameOffset += names[i]!.length;
    }
  }

  /** All chunks are holes: the data is elsewhere. */
  #writeChunks(inode: Inode, tail: number, block: number): void {
    if (inode.blocks > 0) this.#words.fill(0xffffffff, block >> 2, (block + BLOCK_SIZE) >> 2);
    else this.#words.fill(0xffffffff, tail >> 2, (tail + inode.tail) >> 2);
  }

  #writeData(inode: Inode, tail: number, block: number): void {
    const { content } = inode.node as Leaf;
    const data = content.type === "symlink" ? content.target : content.type === "inline" ? content.data : "";
    const inBlocks = data.length - inode.tail;
    if (inBlocks === 0) {
      this.#out.latin1Write(data, tail);
      return;
    }
    this.#out.latin1Write(data.slice(0, inBlocks), block);
    this.#out.latin1Write(data.slice(inBlocks), tail);
  }
}
