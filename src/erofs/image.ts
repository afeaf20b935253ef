import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { parseObjectPath } from "../tree/dumpfile.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { readHex } from "../verity/hex.ts";
import {
  BLOCK_BITS,
  BLOCK_SIZE,
  COMPACT_INODE_SIZE,
  COMPOSEFS_MAGIC,
  DIRENT_SIZE,
  EROFS_MAGIC,
  EXTENDED_INODE_SIZE,
  FEATURE_COMPAT_ALLOWED,
  FEATURE_INCOMPAT_ALLOWED,
  type FormatVersion,
  HEADER,
  HEADER_VERSION,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  MAX_IMAGE_SIZE,
  METACOPY_HEADER_SIZE,
  SLOT_SIZE,
  SUPERBLOCK,
  XATTR_ENTRY_SIZE,
  XATTR_HEADER_SIZE,
  XATTR_INDEX_TRUSTED,
  XATTR_PREFIXES,
} from "./format.ts";

/** An error about the bytes of an image. */
export function invalidImage(text: string): CfsError {
  return new CfsError("Corrupt", `Invalid image: ${text}`);
}

function outOfBounds(): CfsError {
  return new CfsError("Corrupt", "Offset out of bounds");
}

/** An inode as it stands in an image, its ranges checked. Offsets are absolute. */
export interface RawInode {
  readonly nid: number;
  readonly layout: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; exact below 2^53, see `exactSize`. */
  readonly size: number;
  readonly u: number;
  readonly extended: boolean;
  /** Offset of the inode itself. */
  readonly at: number;
  readonly xattrStart: number;
  readonly xattrEnd: number;
}

export interface Dirent {
  readonly name: ByteString;
  readonly nid: number;
}

/** Where an xattr entry lies. */
export type XattrVisitor = (entry: number) => void;

/**
 * Checked access to the structures of an image that need not be trusted. What it hands out never lies outside the
 * image; every inode that is read is charged with its bytes, so that a forged image whose inodes overlap costs no more
 * time and memory than its size.
 */
export class ErofsImage {
  readonly version: FormatVersion;
  readonly rootNid: number;
  readonly bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #blocks: number;
  readonly #sharedStart: number;
  #budget: number;

  /**
   * Checks header and superblock.
   * @param budget bytes of it that may be read; more than there are for who reads some of them twice.
   * @throws CfsError Corrupt.
   */
  constructor(
    image: Uint8Array<ArrayBufferLike>,
    maxSize: number = MAX_IMAGE_SIZE,
    budget: number = image.length,
  ) {
    const size = image.length;
    if (size > maxSize) throw invalidImage(`image size ${size} exceeds maximum ${maxSize}`);
    if (size < HEADER.size) throw invalidImage("cannot parse header");
    if (size < SUPERBLOCK.start) throw invalidImage("image too small for superblock");
    if (size < SUPERBLOCK.end) throw invalidImage("cannot parse superblock");
    // Words are read through a view that must start at a multiple of 4.
    const aligned = image.byteOffset % 4 === 0 ? image : new Uint8Array(image);
    this.bytes = Buffer.from(aligned.buffer, aligned.byteOffset, size);
    this.#words = new Uint32Array(aligned.buffer, aligned.byteOffset, size >> 2);
    this.#blocks = Math.floor(size / BLOCK_SIZE);
    this.#budget = budget;
    const { bytes } = this;
    const word = (at: number) => this.#words[at >> 2]!;

    const bits = bytes[SUPERBLOCK.blockBits]!;
    if (bits >= 64) throw invalidImage(`blkszbits ${bits} >= platform word size 64`);
    for (const field of [SUPERBLOCK.metaBlock, SUPERBLOCK.xattrBlock]) {
      if (word(field) * 2 ** bits > size) throw outOfBounds();
    }
    const hex = (value: number) => `0x${value.toString(16)}`;
    const magic = word(HEADER.magic);
    if (magic !== COMPOSEFS_MAGIC) {
      throw invalidImage(`bad composefs magic: expected ${hex(COMPOSEFS_MAGIC)}, got ${hex(magic)}`);
    }
    const headerVersion = word(HEADER.version);
    if (headerVersion !== HEADER_VERSION) {
      throw invalidImage(
        `bad EROFS format version in composefs header: expected ${HEADER_VERSION}, got ${headerVersion}`,
      );
    }
    const version = word(HEADER.composefsVersion);
    if (version !== 0 && version !== 1 && version !== 2) {
      throw invalidImage(`unknown composefs_version ${version} (expected 0, 1, or 2)`);
    }
    this.version = version;
    const erofsMagic = word(SUPERBLOCK.magic);
    if (erofsMagic !== EROFS_MAGIC) {
      throw invalidImage(`bad EROFS magic: expected ${hex(EROFS_MAGIC)}, got ${hex(erofsMagic)}`);
    }
    if (bits !== BLOCK_BITS) throw invalidImage(`composefs requires blkszbits=${BLOCK_BITS}, got ${bits}`);
    const compat = (word(SUPERBLOCK.featureCompat) & ~FEATURE_COMPAT_ALLOWED) >>> 0;
    if (compat !== 0) throw invalidImage(`unsupported feature_compat flags: ${hex(compat)}`);
    const incompat = (word(SUPERBLOCK.featureIncompat) & ~FEATURE_INCOMPAT_ALLOWED) >>> 0;
    if (incompat !== 0) throw invalidImage(`unsupported feature_incompat flags: ${hex(incompat)}`);
    if (bytes.readUInt16LE(SUPERBLOCK.compression) !== 0) {
      throw invalidImage("composefs does not support compression");
    }
    const devices = bytes.readUInt16LE(SUPERBLOCK.extraDevices);
    if (devices !== 0) {
      throw invalidImage(`composefs does not support multi-device (extra_devices=${devices})`);
    }
    const slots = bytes[SUPERBLOCK.extSlots]!;
    if (slots !== 0) throw invalidImage(`composefs does not support extslots (extslots=${slots})`);
    const packed = bytes.readBigUInt64LE(SUPERBLOCK.packedNid);
    if (packed !== 0n) throw invalidImage(`composefs does not support packed inodes (packed_nid=${packed})`);
    const meta = word(SUPERBLOCK.metaBlock);
    if (meta !== 0) throw invalidImage(`composefs requires meta_blkaddr=0, got ${meta}`);
    const prefixes = bytes[SUPERBLOCK.xattrPrefixCount]!;
    if (prefixes !== 0) {
      throw invalidImage(`composefs does not support custom xattr prefixes (count=${prefixes})`);
    }
    this.rootNid = bytes.readUInt16LE(SUPERBLOCK.rootNid);
    this.#sharedStart = word(SUPERBLOCK.xattrBlock) * BLOCK_SIZE;
  }

  /** Time of compact inodes. */
  get buildTime(): { mtime: bigint; mtimeNsec: number } {
    return {
      mtime: this.bytes.readBigInt64LE(SUPERBLOCK.buildTime),
      mtimeNsec: this.#words[SUPERBLOCK.buildTimeNsec >> 2]!,
    };
  }

  /**
   * @param nid beyond 2^53 only roughly, which is far outside every image.
   * @throws CfsError Corrupt.
   */
  inode(nid: number): RawInode {
    const size = this.bytes.length;
    const at = nid * SLOT_SIZE;
    if (at + COMPACT_INODE_SIZE > size) throw invalidInode(nid);
    const words = this.#words;
    const w = at >> 2;
    const format = words[w]! & 0xffff;
    const layout = format & 0xe;
    if (layout !== LAYOUT_PLAIN && layout !== LAYOUT_INLINE && layout !== LAYOUT_CHUNKED) {
      throw invalidImage("invalid data layout in inode format");
    }
    const extended = (format & 1) !== 0;
    const headerSize = extended ? EXTENDED_INODE_SIZE : COMPACT_INODE_SIZE;
    const count = words[w]! >>> 16;
    const xattrStart = at + headerSize;
    const xattrEnd = xattrStart + (count === 0 ? 0 : XATTR_HEADER_SIZE + 4 * (count - 1));
    if (xattrEnd > size) throw invalidInode(nid);
    const dataSize = extended ? words[w + 2]! + words[w + 3]! * 0x100000000 : words[w + 2]!;
    const tail = layout === LAYOUT_INLINE ? words[w + 2]! % BLOCK_SIZE : 0;
    if (xattrEnd + tail > size) throw invalidInode(nid);
    this.#charge(xattrEnd - at);
    return {
      nid,
      layout,
      mode: words[w + 1]! & 0xffff,
      nlink: extended ? words[w + 11]! : words[w + 1]! >>> 16,
      uid: extended ? words[w + 6]! : words[w + 6]! & 0xffff,
      gid: extended ? words[w + 7]! : words[w + 6]! >>> 16,
      size: dataSize,
      u: words[w + 4]!,
      extended,
      at,
      xattrStart,
      xattrEnd,
    };
  }

  exactSize(inode: RawInode): bigint {
    return inode.size <= Number.MAX_SAFE_INTEGER
      ? BigInt(inode.size)
      : this.bytes.readBigUInt64LE(inode.at + 8);
  }

  mtime(inode: RawInode): { mtime: bigint; mtimeNsec: number } | undefined {
    if (!inode.extended) return undefined;
    const w = (inode.at >> 2) + 8;
    const low = this.#words[w]!;
    const high = this.#words[w + 1]!;
    const mtime =
      high < 0x200000 ? BigInt(low + high * 0x100000000) : this.bytes.readBigInt64LE(inode.at + 32);
    return { mtime, mtimeNsec: this.#words[w + 2]! };
  }

  /**
   * The blocks of data of a plain or inline inode.
   * @returns start and end of the whole data blocks, absolute; the inline tail is behind the xattrs.
   * @throws CfsError Corrupt when size or blocks lie outside the image.
   */
  dataBlocks(inode: RawInode): { start: number; end: number; tail: number } {
    const { size } = inode;
    if (size > this.bytes.length) {
      throw invalidImage(`inode size ${size} exceeds image size ${this.bytes.length}`);
    }
    const inline = inode.layout === LAYOUT_INLINE;
    const count = inline ? Math.floor(size / BLOCK_SIZE) : Math.ceil(size / BLOCK_SIZE);
    if (count > 0 && inode.u + count > this.#blocks) {
      throw invalidImage(
        `inode block range ${inode.u}..${inode.u + count} exceeds image (${this.#blocks} blocks)`,
      );
    }
    const tail = inline ? size % BLOCK_SIZE : 0;
    this.#charge(count * BLOCK_SIZE + tail);
    const start = count > 0 ? inode.u * BLOCK_SIZE : 0;
    return { start, end: start + count * BLOCK_SIZE, tail };
  }

  /** Content of a regular file or symlink that is kept in the image. */
  data(inode: RawInode): ByteString {
    if (inode.size === 0) return "";
    const { start, end, tail } = this.dataBlocks(inode);
    const whole = Math.min(end - start, inode.size - tail);
    const blocks = whole > 0 ? this.bytes.latin1Slice(start, start + whole) : "";
    if (tail === 0) return blocks;
    const rest = this.bytes.latin1Slice(inode.xattrEnd, inode.xattrEnd + tail);
    return blocks === "" ? rest : blocks + rest;
  }

  /**
   * The entries of a directory in their order, `.` and `..` among them.
   * @throws CfsError Corrupt.
   */
  dirents(inode: RawInode): Dirent[] {
    const entries: Dirent[] = [];
    const { start, end, tail } = this.dataBlocks(inode);
    let left = inode.size - tail;
    for (let at = start; at < end; at += BLOCK_SIZE, left -= BLOCK_SIZE) {
      this.#direntBlock(at, at + Math.min(left, BLOCK_SIZE), entries);
    }
    if (tail > 0) this.#direntBlock(inode.xattrEnd, inode.xattrEnd + tail, entries);
    return entries;
  }

  #direntBlock(at: number, end: number, entries: Dirent[]): void {
    const words = this.#words;
    const size = end - at;
    if (size < DIRENT_SIZE) throw outOfBounds();
    const first = words[(at >> 2) + 2]! & 0xffff;
    if (first === 0 || first % DIRENT_SIZE !== 0) throw invalidImage("invalid directory entry name_offset");
    if (first > size) throw outOfBounds();
    const names = this.bytes.latin1Slice(at + first, end);
    const count = first / DIRENT_SIZE;
    let from = first;
    for (let i = 0; i < count; i++) {
      const w = (at >> 2) + 3 * i;
      const last = i === count - 1;
      const to = last ? size : words[w + 5]! & 0xffff;
      if (to < from || to > size) throw outOfBounds();
      let name = names.slice(from - first, to - first);
      if (last) {
        const nul = name.indexOf("\0");
        if (nul >= 0) name = name.slice(0, nul);
      }
      const high = words[w + 1]!;
      if (high !== 0) throw invalidInodeText((BigInt(high) << 32n) | BigInt(words[w]!));
      entries.push({ name, nid: words[w]! });
      from = to;
    }
  }

  /**
   * Calls `visit` with the offset of every xattr entry, shared ones first, as they stand.
   * @throws CfsError Corrupt when an entry crosses the end of its area, or of the image.
   */
  xattrs(inode: RawInode, visit: XattrVisitor): void {
    const { xattrStart, xattrEnd } = inode;
    if (xattrStart === xattrEnd) return;
    const words = this.#words;
    const shared = words[(xattrStart >> 2) + 1]! & 0xff;
    let at = xattrStart + XATTR_HEADER_SIZE;
    if (at + 4 * shared > xattrEnd) throw outOfBounds();
    for (let i = 0; i < shared; i++, at += 4) {
      const entry = this.#sharedStart + words[at >> 2]! * 4;
      this.#checkEntry(entry, this.bytes.length);
      visit(entry);
    }
    while (at < xattrEnd) {
      const end = this.#checkEntry(at, xattrEnd);
      visit(at);
      at = end;
    }
  }

  /** @returns the end of the entry, padded to 4. */
  #checkEntry(at: number, limit: number): number {
    if (at + XATTR_ENTRY_SIZE > limit) throw outOfBounds();
    const head = this.#words[at >> 2]!;
    const index = (head >>> 8) & 0xff;
    if (index >= XATTR_PREFIXES.length) throw invalidImage(`xattr name_index ${index} out of range`);
    const end = at + XATTR_ENTRY_SIZE + (head & 0xff) + (head >>> 16);
    if (end > limit) throw outOfBounds();
    return (end + 3) & ~3;
  }

  xattrName(entry: number): ByteString {
    const head = this.#words[entry >> 2]!;
    const start = entry + XATTR_ENTRY_SIZE;
    return XATTR_PREFIXES[(head >>> 8) & 0xff]! + this.bytes.latin1Slice(start, start + (head & 0xff));
  }

  xattrValue(entry: number): ByteString {
    const head = this.#words[entry >> 2]!;
    const start = entry + XATTR_ENTRY_SIZE + (head & 0xff);
    return this.bytes.latin1Slice(start, start + (head >>> 16));
  }

  /** Charges a shared entry, once for each that is kept. */
  chargeXattr(entry: number): void {
    const head = this.#words[entry >> 2]!;
    this.#charge(XATTR_ENTRY_SIZE + (head & 0xff) + (head >>> 16));
  }

  /** Whether an entry is `trusted.overlay.metacopy` or `trusted.overlay.redirect`, told by its words. */
  overlayKind(entry: number): "metacopy" | "redirect" | undefined {
    const words = this.#words;
    const w = entry >> 2;
    if ((words[w]! & 0xffff) !== OVERLAY_SUFFIX_HEAD) return undefined;
    if (words[w + 1] !== WORD_OVER || words[w + 2] !== WORD_LAY) return undefined;
    if (words[w + 3] === WORD_META && words[w + 4] === WORD_COPY) return "metacopy";
    if (words[w + 3] === WORD_REDI && words[w + 4] === WORD_RECT) return "redirect";
    return undefined;
  }

  /**
   * The digest that a metacopy entry holds; undefined when it is empty.
   * @throws CfsError Corrupt when it is none of this algorithm.
   */
  metacopy(entry: number, algorithm: Algorithm): ObjectId | undefined {
    const at = this.metacopyStart(entry, algorithm);
    return at === undefined ? undefined : (this.bytes.hexSlice(at, at + algorithm.size) as ObjectId);
  }

  /** As `metacopy`: where the digest begins. */
  metacopyStart(entry: number, algorithm: Algorithm): number | undefined {
    const head = this.#words[entry >> 2]!;
    const length = head >>> 16;
    if (length === 0) return undefined;
    const expected = METACOPY_HEADER_SIZE + algorithm.size;
    if (length !== expected) {
      throw new CfsError(
        "Corrupt",
        `malformed trusted.overlay.metacopy xattr: expected ${expected} bytes, got ${length}`,
      );
    }
    const at = entry + XATTR_ENTRY_SIZE + (head & 0xff);
    const { bytes } = this;
    const [version, len, flags, algo] = [bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!];
    if (version !== 0 || len !== expected || flags !== 0 || algo !== algorithm.kernelId) {
      throw new CfsError(
        "Corrupt",
        `invalid trusted.overlay.metacopy: version=${version}, len=${len}, flags=${flags}, digest_algo=${algo} ` +
          `(expected version=0, len=${expected}, flags=0, digest_algo=${algorithm.kernelId})`,
      );
    }
    return at + METACOPY_HEADER_SIZE;
  }

  /** The object that a redirect entry names; undefined when it is no object's path. */
  redirect(entry: number, algorithm: Algorithm): ObjectId | undefined {
    try {
      return parseObjectPath(this.xattrValue(entry), algorithm);
    } catch {
      return undefined;
    }
  }

  /** As `redirect`. @param out gets the digest. @returns false when the entry is no object's path */
  readRedirect(entry: number, algorithm: Algorithm, out: Buffer): boolean {
    const head = this.#words[entry >> 2]!;
    const end = entry + XATTR_ENTRY_SIZE + (head & 0xff) + (head >>> 16);
    const start = end - (2 * algorithm.size + 1);
    const { bytes } = this;
    const isUsual =
      head >>> 16 > 2 * algorithm.size &&
      bytes[start + 2] === SLASH &&
      readHex(bytes, start, out, 0, 1) &&
      readHex(bytes, start + 3, out, 1, algorithm.size);
    if (isUsual) return true;
    const id = this.redirect(entry, algorithm);
    if (id === undefined) return false;
    out.hexWrite(id);
    return true;
  }

  /** In an image as a writer makes it no two structures share a byte. */
  #charge(bytes: number): void {
    this.#budget -= bytes;
    if (this.#budget < 0) throw invalidImage("structures overlap");
  }
}

const SLASH = "/".charCodeAt(0);

const OVERLAY_SUFFIX_HEAD = "overlay.metacopy".length | (XATTR_INDEX_TRUSTED << 8);
const WORD_OVER = fourBytes("over");
const WORD_LAY = fourBytes("lay.");
const WORD_META = fourBytes("meta");
const WORD_COPY = fourBytes("copy");
const WORD_REDI = fourBytes("redi");
const WORD_RECT = fourBytes("rect");

function fourBytes(text: string): number {
  return Buffer.from(text, "latin1").readUInt32LE(0);
}

function invalidInode(nid: number): CfsError {
  return invalidInodeText(BigInt(nid));
}

function invalidInodeText(nid: bigint): CfsError {
  return new CfsError("Corrupt", `Invalid inode: ${nid}`);
}
