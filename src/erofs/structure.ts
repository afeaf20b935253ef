import { type ByteString, display } from "../bytes.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../mode.ts";
import {
  BLOCK_SIZE,
  DIRENT_SIZE,
  HEADER,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  SUPERBLOCK,
  XATTR_HEADER_SIZE,
} from "./format.ts";
import { type Dirent, ErofsImage, type RawInode } from "./image.ts";

/** A place where an image is not what the writer makes of the tree in it. */
export interface StructureDifference {
  /** Of the file whose inode it is; undefined when it is about the image as a whole. */
  readonly path: ByteString | undefined;
  /** What differs and how, in words. */
  readonly what: string;
}

/** One sentence about a difference, without a full stop. */
export function structureText({ path, what }: StructureDifference): string {
  return path === undefined ? what : `${display(path)}: ${what}`;
}

/**
 * Says where two images of the same tree differ, structure by structure: superblock first, then inodes from the root
 * on. Where something is out of its place, all behind it is too: only the first one is named. Ends with nothing only
 * when the images are the same.
 * @param found an image that was read completely: nothing in it leads out of it.
 * @param expected what the writer made of its tree.
 * @throws CfsError Corrupt when `found` was not checked before.
 */
export function* compareStructure(found: Uint8Array, expected: Uint8Array): Generator<StructureDifference> {
  let isEqual = true;
  const comparison = new Comparison(found, expected);
  for (const difference of comparison.run()) {
    isEqual = false;
    yield difference;
  }
  if (isEqual && Buffer.compare(found, expected) !== 0) yield unusedByte(found, expected);
}

/** What no structure leads to: padding, and the space between structures. */
function unusedByte(found: Uint8Array, expected: Uint8Array): StructureDifference {
  const at = expected.findIndex((byte, i) => byte !== found[i]);
  return whole(`byte ${at} of the padding is ${hex(found[at]!)} instead of ${hex(expected[at]!)}`);
}

type Field = readonly [name: string, offset: number, size: 1 | 2 | 4 | 8];

const IMAGE_FIELDS: readonly Field[] = [
  ["header flags", HEADER.flags, 4],
  ["composefs version", HEADER.composefsVersion, 4],
  ["checksum", SUPERBLOCK.checksum, 4],
  ["feature_compat", SUPERBLOCK.featureCompat, 4],
  ["nid of the root", SUPERBLOCK.rootNid, 2],
  ["number of inodes", SUPERBLOCK.inodes, 8],
  ["build time", SUPERBLOCK.buildTime, 8],
  ["nanoseconds of the build time", SUPERBLOCK.buildTimeNsec, 4],
  ["number of blocks", SUPERBLOCK.blocks, 4],
  ["first block of shared xattrs", SUPERBLOCK.xattrBlock, 4],
  ["feature_incompat", SUPERBLOCK.featureIncompat, 4],
];
/** Zero in every image. */
const RESERVED: readonly (readonly [name: string, start: number, end: number])[] = [
  ["reserved bytes of the header", 16, HEADER.size],
  ["the bytes between header and superblock", HEADER.size, SUPERBLOCK.start],
  ["reserved bytes of the superblock", SUPERBLOCK.xattrBlock + 4, SUPERBLOCK.featureIncompat],
  ["reserved bytes of the superblock", SUPERBLOCK.featureIncompat + 4, SUPERBLOCK.end],
];

/** Those that don't depend on where things are. */
const COMPACT_FIELDS: readonly Field[] = [
  ["mode", 4, 2],
  ["link count", 6, 2],
  ["size", 8, 4],
  ["reserved field", 12, 4],
  ["user", 24, 2],
  ["group", 26, 2],
  ["reserved field", 28, 4],
];
const EXTENDED_FIELDS: readonly Field[] = [
  ["mode", 4, 2],
  ["reserved field", 6, 2],
  ["size", 8, 8],
  ["user", 24, 4],
  ["group", 28, 4],
  ["modification time", 32, 8],
  ["nanoseconds of the modification time", 40, 4],
  ["link count", 44, 4],
  ["reserved field", 48, 8],
  ["reserved field", 56, 8],
];
const FORMAT_OFFSET = 0;
const INO_OFFSET = 20;

const LAYOUT_NAMES: Readonly<Record<number, string>> = {
  [LAYOUT_PLAIN]: "plain",
  [LAYOUT_INLINE]: "inline",
  [LAYOUT_CHUNKED]: "chunk-based",
};

interface Place {
  readonly path: ByteString;
  readonly found: number;
  readonly expected: number;
}

class Comparison {
  readonly #found: ErofsImage;
  readonly #expected: ErofsImage;
  /** Something was out of place. */
  #moved = false;
  readonly #seen = new Set<number>();

  constructor(found: Uint8Array, expected: Uint8Array) {
    this.#found = new ErofsImage(found);
    this.#expected = new ErofsImage(expected);
  }

  *run(): Generator<StructureDifference> {
    yield* this.#imageFields();
    const [found, expected] = [this.#found, this.#expected];
    const pending: Place[] = [{ path: "/", found: found.rootNid, expected: expected.rootNid }];
    for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
      if (this.#seen.has(place.found)) continue;
      this.#seen.add(place.found);
      yield* this.#inode(place, pending);
    }
  }

  *#imageFields(): Generator<StructureDifference> {
    const [a, b] = [this.#found.bytes, this.#expected.bytes];
    if (a.length !== b.length) yield whole(`it has ${a.length} bytes instead of ${b.length}`);
    for (const field of IMAGE_FIELDS) yield* compareField(field, undefined, a, 0, b, 0);
    for (const [name, start, end] of RESERVED)
      if (Buffer.compare(a.subarray(start, end), b.subarray(start, end)) !== 0)
        yield whole(`${name} are not zero`);
  }

  *#inode(place: Place, pending: Place[]): Generator<StructureDifference> {
    const { path } = place;
    const [found, expected] = [this.#found, this.#expected];
    const [a, b] = [found.inode(place.found), expected.inode(place.expected)];
    yield* this.#position(path, "inode", a.at, b.at);
    if (a.extended !== b.extended) {
      const kind = ({ extended }: RawInode) => (extended ? "extended" : "compact");
      yield { path, what: `its inode is ${kind(a)} instead of ${kind(b)}` };
    } else {
      const [high, highExpected] = [highFormat(found, a), highFormat(expected, b)];
      if (high !== highExpected) yield { path, what: "unknown bits are set in the format of its inode" };
      for (const field of a.extended ? EXTENDED_FIELDS : COMPACT_FIELDS)
        yield* compareField(field, path, found.bytes, a.at, expected.bytes, b.at);
    }
    if (a.layout !== b.layout)
      yield { path, what: `its data is ${LAYOUT_NAMES[a.layout]} instead of ${LAYOUT_NAMES[b.layout]}` };
    yield* this.#inodeNumber(path, a, b);
    yield* this.#xattrs(path, a, b);
    if (a.layout === b.layout) yield* this.#dataField(path, a, b);
    if ((b.mode & S_IFMT) === S_IFDIR) yield* this.#directory(path, a, b, pending);
    else yield* this.#tail(path, a, b);
  }

  *#position(path: ByteString, what: string, a: number, b: number): Generator<StructureDifference> {
    if (a === b || this.#moved) return;
    this.#moved = true;
    yield { path, what: `its ${what} is at byte ${a} instead of ${b}` };
  }

  *#inodeNumber(path: ByteString, a: RawInode, b: RawInode): Generator<StructureDifference> {
    const ino = (image: ErofsImage, inode: RawInode) => image.bytes.readUInt32LE(inode.at + INO_OFFSET);
    const [number, wanted] = [ino(this.#found, a), ino(this.#expected, b)];
    // In version 2 it tells the place.
    const isPlace = this.#expected.version === 2 && number === a.nid;
    if (number !== wanted && !isPlace && !this.#moved)
      yield { path, what: `inode number ${number} instead of ${wanted}` };
  }

  /** Device number, chunk format or first block. */
  *#dataField(path: ByteString, a: RawInode, b: RawInode): Generator<StructureDifference> {
    if (a.u === b.u) return;
    const isBlock =
      b.layout !== LAYOUT_CHUNKED && b.size >= (b.layout === LAYOUT_INLINE ? BLOCK_SIZE : 1) && b.u !== 0;
    if (isBlock) yield* this.#position(path, "data", a.u * BLOCK_SIZE, b.u * BLOCK_SIZE);
    else if (b.layout === LAYOUT_CHUNKED && (a.u & 0xffff) === (b.u & 0xffff)) {
      if (!this.#moved) yield { path, what: "its chunk table is out of place" };
    } else {
      const name = b.layout === LAYOUT_CHUNKED ? "chunk format" : "device or block number";
      yield { path, what: `${name} ${hex(a.u)} instead of ${hex(b.u)}` };
    }
  }

  *#xattrs(path: ByteString, a: RawInode, b: RawInode): Generator<StructureDifference> {
    const [list, wanted] = [listXattrs(this.#found, a), listXattrs(this.#expected, b)];
    let isSame = true;
    for (const what of xattrDifferences(list, wanted)) {
      isSame = false;
      yield { path, what };
    }
    if (!isSame) return;
    if (a.xattrEnd - a.xattrStart !== b.xattrEnd - b.xattrStart) {
      yield { path, what: "its xattrs take another number of bytes" };
    } else if (b.xattrEnd > b.xattrStart) {
      yield* compareField(
        ["name filter", 0, 4],
        path,
        this.#found.bytes,
        a.xattrStart,
        this.#expected.bytes,
        b.xattrStart,
      );
      const padding = (image: ErofsImage, inode: RawInode) => xattrPadding(image, inode);
      if (Buffer.compare(padding(this.#found, a), padding(this.#expected, b)) !== 0)
        yield { path, what: "reserved bytes or padding of its xattrs are not zero" };
    }
  }

  *#directory(path: ByteString, a: RawInode, b: RawInode, pending: Place[]): Generator<StructureDifference> {
    const [list, wanted] = [this.#found.dirents(a), this.#expected.dirents(b)];
    const prefix = path === "/" ? "/" : `${path}/`;
    const byName = new Map(list.map((dirent) => [dirent.name, dirent.nid]));
    for (const { name, nid } of wanted.toReversed()) {
      const other = byName.get(name);
      if (other === undefined) yield { path, what: `it lacks the entry ${display(name)}` };
      else if (name !== "." && name !== "..")
        pending.push({ path: prefix + name, found: other, expected: nid });
    }
    if (list.length > wanted.length) {
      const names = new Set(wanted.map(({ name }) => name));
      const extra = list.find(({ name }) => !names.has(name));
      yield { path, what: `it must not have the entry ${display(extra?.name ?? "")}` };
    }
    if (list.length !== wanted.length) return;
    const wrong = wanted.findIndex(({ name }, i) => name !== list[i]!.name);
    if (wrong >= 0) {
      const text = `${display(list[wrong]!.name)} stands where ${display(wanted[wrong]!.name)} belongs`;
      yield { path, what: `its entries are not sorted: ${text}` };
      return;
    }
    yield* this.#direntBlocks(path, a, b, wanted);
  }

  /** Of directories with the same names in the same order. */
  *#direntBlocks(
    path: ByteString,
    a: RawInode,
    b: RawInode,
    names: readonly Dirent[],
  ): Generator<StructureDifference> {
    const [blocks, wanted] = [direntBlocks(this.#found, a), direntBlocks(this.#expected, b)];
    const counts = (l: readonly DirentBlock[]) => l.map(({ count }) => count).join(" ");
    if (counts(blocks) !== counts(wanted)) {
      yield { path, what: "its entries fill its blocks in another way" };
      return;
    }
    let entry = 0;
    for (const [i, { at: expectedAt, end: expectedEnd, count }] of wanted.entries()) {
      const { at, end } = blocks[i]!;
      for (let k = 0; k < count; k++, entry++) {
        const type = this.#found.bytes[at + k * DIRENT_SIZE + 10]!;
        const wantedType = this.#expected.bytes[expectedAt + k * DIRENT_SIZE + 10]!;
        const name = display(names[entry]!.name);
        if (type !== wantedType)
          yield { path, what: `its entry ${name} has the file type ${type} instead of ${wantedType}` };
        if (this.#found.bytes[at + k * DIRENT_SIZE + 11] !== 0)
          yield { path, what: `the reserved byte of its entry ${name} is not zero` };
      }
      const rest = this.#found.bytes.subarray(at + count * DIRENT_SIZE, end);
      const wantedRest = this.#expected.bytes.subarray(expectedAt + count * DIRENT_SIZE, expectedEnd);
      if (Buffer.compare(rest, wantedRest) !== 0)
        yield { path, what: "the padding behind its entries is not zero" };
    }
  }

  /** What the tree does not tell: chunk tables, and padding behind data in blocks. */
  *#tail(path: ByteString, a: RawInode, b: RawInode): Generator<StructureDifference> {
    if (a.layout !== b.layout || a.size !== b.size) return;
    if (b.layout === LAYOUT_CHUNKED) {
      const chunkBits = 12 + (b.u & 0x1f);
      const chunks = b.size === 0 || this.#expected.version === 2 ? 0 : Math.ceil(b.size / 2 ** chunkBits);
      const table = (image: ErofsImage, inode: RawInode) =>
        image.bytes.subarray(inode.xattrEnd, inode.xattrEnd + 4 * Math.min(chunks, 1));
      if (Buffer.compare(table(this.#found, a), table(this.#expected, b)) !== 0)
        yield { path, what: "its chunk table is not that of a file whose data is elsewhere" };
      return;
    }
    if (b.layout !== LAYOUT_PLAIN || b.size === 0 || (b.mode & S_IFMT) === S_IFLNK) return;
    const padding = (image: ErofsImage, inode: RawInode) => {
      const start = inode.u * BLOCK_SIZE;
      return image.bytes.subarray(
        start + inode.size,
        start + Math.ceil(inode.size / BLOCK_SIZE) * BLOCK_SIZE,
      );
    };
    if (Buffer.compare(padding(this.#found, a), padding(this.#expected, b)) !== 0)
      yield { path, what: "the padding behind its data is not zero" };
  }
}

function* compareField(
  [name, offset, size]: Field,
  path: ByteString | undefined,
  found: Buffer,
  foundAt: number,
  expected: Buffer,
  expectedAt: number,
): Generator<StructureDifference> {
  const read = (bytes: Buffer, at: number) =>
    size === 8 ? bytes.readBigUInt64LE(at) : BigInt(bytes.readUIntLE(at, size));
  const [value, wanted] = [read(found, foundAt + offset), read(expected, expectedAt + offset)];
  if (value === wanted) return;
  yield { path, what: `${name} ${value} instead of ${wanted}` };
}

/** Bits of the format that mean nothing. */
function highFormat(image: ErofsImage, { at }: RawInode): number {
  return image.bytes.readUInt16LE(at + FORMAT_OFFSET) & ~0xf;
}

interface Xattr {
  readonly name: ByteString;
  readonly value: ByteString;
  readonly shared: boolean;
}

function listXattrs(image: ErofsImage, inode: RawInode): Xattr[] {
  const list: Xattr[] = [];
  image.xattrs(inode, (entry) => {
    const shared = entry < inode.xattrStart || entry >= inode.xattrEnd;
    list.push({ name: image.xattrName(entry), value: image.xattrValue(entry), shared });
  });
  return list;
}

/** What is wrong with the xattrs of an inode, in words. */
function* xattrDifferences(list: readonly Xattr[], wanted: readonly Xattr[]): Generator<string> {
  let isSame = true;
  const [byName, wantedByName] = [Map.groupBy(list, nameOf), Map.groupBy(wanted, nameOf)];
  for (const name of new Set([...byName.keys(), ...wantedByName.keys()])) {
    const what = xattrDifference(byName.get(name) ?? [], wantedByName.get(name) ?? []);
    if (what === undefined) continue;
    isSame = false;
    yield what.replace("%", () => `the xattr ${display(name)}`);
  }
  if (!isSame) return;
  const wrong = wanted.findIndex(({ name }, i) => name !== list[i]!.name);
  if (wrong >= 0)
    yield `the xattr ${display(list[wrong]!.name)} stands where ${display(wanted[wrong]!.name)} belongs`;
}

function nameOf({ name }: Xattr): ByteString {
  return name;
}

/** Of those of one name, which is % in the text. */
function xattrDifference(found: readonly Xattr[], expected: readonly Xattr[]): string | undefined {
  if (found.length === 0) return "% is missing";
  if (expected.length === 0) return "% does not belong there";
  if (found.length !== expected.length)
    return `% is there ${found.length} times instead of ${expected.length}`;
  if (expected.some(({ value }) => !found.some((xattr) => xattr.value === value)))
    return "% has another value";
  const shared = (list: readonly Xattr[]) => list.filter((xattr) => xattr.shared).length;
  if (shared(found) < shared(expected)) return "% is not shared with other inodes";
  return shared(found) > shared(expected) ? "% is shared although no other inode has it" : undefined;
}

/** The bytes of an xattr area that hold neither a count nor a reference, nor what `listXattrs` gives. */
function xattrPadding(image: ErofsImage, inode: RawInode): Buffer {
  const { bytes } = image;
  const parts = [bytes.subarray(inode.xattrStart + 5, inode.xattrStart + XATTR_HEADER_SIZE)];
  image.xattrs(inode, (entry) => {
    if (entry < inode.xattrStart || entry >= inode.xattrEnd) return;
    const end = entry + 4 + bytes[entry]! + bytes.readUInt16LE(entry + 2);
    parts.push(bytes.subarray(end, (end + 3) & ~3));
  });
  return Buffer.concat(parts);
}

interface DirentBlock {
  readonly at: number;
  readonly end: number;
  readonly count: number;
}

/** Where the entries of a directory are; its ranges have been checked. */
function direntBlocks({ bytes }: ErofsImage, inode: RawInode): DirentBlock[] {
  const blocks: DirentBlock[] = [];
  const add = (at: number, end: number) => {
    blocks.push({ at, end, count: Math.floor(bytes.readUInt16LE(at + 8) / DIRENT_SIZE) });
  };
  const tail = inode.layout === LAYOUT_INLINE ? inode.size % BLOCK_SIZE : 0;
  const count = Math.ceil((inode.size - tail) / BLOCK_SIZE);
  for (let i = 0; i < count; i++) add((inode.u + i) * BLOCK_SIZE, (inode.u + i + 1) * BLOCK_SIZE);
  if (tail > 0) add(inode.xattrEnd, inode.xattrEnd + tail);
  return blocks;
}

function whole(what: string): StructureDifference {
  return { path: undefined, what };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
