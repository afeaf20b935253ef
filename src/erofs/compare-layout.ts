import type { ByteString } from "../bytes.ts";
import { S_IFDIR, S_IFMT } from "../mode.ts";
import type { Algorithm } from "../verity/digest.ts";
import {
  BLOCK_SIZE,
  HEADER,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  METACOPY,
  REDIRECT,
  SLOT_SIZE,
  SUPERBLOCK,
  XATTR_HEADER_SIZE,
} from "./format.ts";
import { type Dirent, ErofsImage, type RawInode } from "./image.ts";
import type { LayoutAspect } from "./layout-aspects.ts";

/** One way in which two images of the same tree differ. */
export interface LayoutDifference {
  readonly aspect: LayoutAspect;
  /** Path of the first entry that it is seen at; undefined when it is about the image as a whole. */
  readonly entry: ByteString | undefined;
  /** At how many entries. */
  readonly count: number;
  /** As text without control characters. */
  readonly expected: string;
  readonly found: string;
}

export interface LayoutSide {
  /** The whole image. */
  readonly bytes: Uint8Array;
  readonly algorithm: Algorithm;
}

/**
 * Says what makes the bytes of two images differ although the trees in them are the same: what the headers say, where
 * and in which form inodes, names, data and extended attributes are kept. Entries that only one image has, such as the
 * whiteout table, are named, but not looked at any further.
 *
 * Takes 8 bytes an entry above the images themselves.
 * @returns nothing when the images are the same.
 * @throws CfsError Corrupt for what is no image
 */
export function compareLayouts(expected: LayoutSide, found: LayoutSide): LayoutDifference[] {
  return new LayoutComparison(expected, found).run();
}

/** A directory that both images have. */
interface Frame {
  readonly prefix: ByteString;
  readonly pairs: readonly (readonly [name: ByteString, expected: number, found: number])[];
  next: number;
}

interface Seen {
  readonly entry: ByteString | undefined;
  readonly expected: string;
  readonly found: string;
  count: number;
}

class LayoutComparison {
  readonly #a: ErofsImage;
  readonly #b: ErofsImage;
  readonly #sameAlgorithm: boolean;
  readonly #sides: readonly [LayoutSide, LayoutSide];
  readonly #seen = new Map<LayoutAspect, Seen>();
  readonly #visited: Uint8Array;
  readonly #nids: [expected: number[], found: number[]] = [[], []];

  constructor(expected: LayoutSide, found: LayoutSide) {
    this.#sides = [expected, found];
    this.#a = new ErofsImage(expected.bytes);
    this.#b = new ErofsImage(found.bytes);
    this.#sameAlgorithm = expected.algorithm === found.algorithm;
    this.#visited = new Uint8Array(Math.ceil(expected.bytes.length / SLOT_SIZE / 8));
  }

  run(): LayoutDifference[] {
    const [a, b] = [this.#a, this.#b];
    this.#headers();
    this.#inode("/", a.inode(a.rootNid), b.inode(b.rootNid));
    this.#order();
    if (this.#seen.size === 0) this.#remainder();
    return [...this.#seen].map(([aspect, seen]) => ({ aspect, ...seen }));
  }

  #note(aspect: LayoutAspect, entry: ByteString | undefined, expected: string, found: string): void {
    const seen = this.#seen.get(aspect);
    if (seen === undefined) this.#seen.set(aspect, { entry, expected, found, count: 1 });
    else seen.count++;
  }

  #compare(
    aspect: LayoutAspect,
    entry: ByteString | undefined,
    expected: number | string,
    found: number | string,
  ): void {
    if (expected !== found) this.#note(aspect, entry, String(expected), String(found));
  }

  #headers(): void {
    const [{ algorithm: algorithmA }, { algorithm: algorithmB }] = this.#sides;
    const [a, b] = [this.#a, this.#b];
    const words = (at: number) => [a.bytes.readUInt32LE(at), b.bytes.readUInt32LE(at)] as const;
    this.#compare("algorithm", undefined, algorithmA.hash, algorithmB.hash);
    this.#compare("format", undefined, a.version, b.version);
    const [flagsA, flagsB] = words(HEADER.flags);
    this.#compare("header-flags", undefined, hex(flagsA), hex(flagsB));
    this.#compare("size", undefined, a.bytes.length, b.bytes.length);
    const inodes = (image: ErofsImage) => String(image.bytes.readBigUInt64LE(SUPERBLOCK.inodes));
    this.#compare("inode-count", undefined, inodes(a), inodes(b));
    const time = ({ buildTime }: ErofsImage) =>
      `${buildTime.mtime}.${String(buildTime.mtimeNsec).padStart(9, "0")}`;
    this.#compare("build-time", undefined, time(a), time(b));
    const [compatA, compatB] = words(SUPERBLOCK.featureCompat);
    this.#compare("features", undefined, hex(compatA), hex(compatB));
    const [incompatA, incompatB] = words(SUPERBLOCK.featureIncompat);
    this.#compare("features", undefined, hex(incompatA), hex(incompatB));
    const [checksumA, checksumB] = words(SUPERBLOCK.checksum);
    this.#compare("checksum", undefined, hex(checksumA), hex(checksumB));
    const label = ({ bytes }: ErofsImage) => bytes.hexSlice(UUID_START, UUID_END);
    this.#compare("volume", undefined, label(a), label(b));
  }

  #inode(rootPath: ByteString, rootA: RawInode, rootB: RawInode): void {
    const stack: Frame[] = [];
    const visit = (path: ByteString, a: RawInode, b: RawInode): void => {
      this.#metadata(path, a, b);
      this.#xattrs(path, a, b);
      const isDirectory = (inode: RawInode) => (inode.mode & S_IFMT) === S_IFDIR;
      if (isDirectory(a) && isDirectory(b)) stack.push(this.#directory(path, a, b));
      else this.#data(path, a, b);
    };
    visit(rootPath, rootA, rootB);
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const pair = frame.pairs[frame.next++];
      if (pair === undefined) {
        stack.pop();
        continue;
      }
      const [name, nidA, nidB] = pair;
      if (this.#isVisited(nidA)) continue;
      visit(frame.prefix + name, this.#a.inode(nidA), this.#b.inode(nidB));
    }
  }

  /** True from the second time on: hard links, and loops in what is no tree. */
  #isVisited(nid: number): boolean {
    const mask = 1 << (nid & 7);
    const isVisited = (this.#visited[nid >> 3]! & mask) !== 0;
    this.#visited[nid >> 3]! |= mask;
    return isVisited;
  }

  #metadata(path: ByteString, a: RawInode, b: RawInode): void {
    this.#nids[0].push(a.nid);
    this.#nids[1].push(b.nid);
    this.#compare("inode-form", path, form(a), form(b));
    this.#compare("mode", path, a.mode.toString(8), b.mode.toString(8));
    this.#compare("owner", path, `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`);
    this.#compare("time", path, this.#timeOf(this.#a, a), this.#timeOf(this.#b, b));
    this.#compare("link-count", path, a.nlink, b.nlink);
    const number = ({ bytes }: ErofsImage, { at }: RawInode) => bytes.readUInt32LE(at + INODE_NUMBER);
    this.#compare("inode-number", path, number(this.#a, a), number(this.#b, b));
  }

  #timeOf(image: ErofsImage, inode: RawInode): string {
    const { mtime, mtimeNsec } = image.mtime(inode) ?? image.buildTime;
    return `${mtime}.${String(mtimeNsec).padStart(9, "0")}`;
  }

  #data(path: ByteString, a: RawInode, b: RawInode): void {
    this.#compare("content-place", path, place(a), place(b));
    this.#compare("file-size", path, String(this.#a.exactSize(a)), String(this.#b.exactSize(b)));
    if (a.layout !== b.layout) return;
    if (a.layout === LAYOUT_CHUNKED) {
      this.#compare("chunk-format", path, a.u, b.u);
    } else if (dataBlockCount(a) === 0 || dataBlockCount(b) === 0) {
      // Of devices, the number.
      this.#compare("device", path, a.u, b.u);
    } else this.#compare("block-place", path, a.u, b.u);
  }

  #directory(path: ByteString, a: RawInode, b: RawInode): Frame {
    const entriesA = this.#a.dirents(a).filter(isNoDot);
    const entriesB = this.#b.dirents(b).filter(isNoDot);
    const prefix = path === "/" ? path : `${path}/`;
    this.#compare("directory-size", path, a.size, b.size);
    this.#compare("directory-place", path, place(a), place(b));
    if (dataBlockCount(a) > 0 && dataBlockCount(b) > 0) this.#compare("block-place", path, a.u, b.u);
    const known = new Map(entriesB.map(({ name, nid }) => [name, nid]));
    const pairs: [ByteString, number, number][] = [];
    for (const { name, nid } of entriesA) {
      const other = known.get(name);
      if (other === undefined) this.#note("entry", prefix + name, "there", "not there");
      else {
        pairs.push([name, nid, other]);
        known.delete(name);
      }
    }
    for (const name of known.keys()) this.#note("entry", prefix + name, "not there", "there");
    this.#entryOrder(path, entriesA, entriesB);
    return { prefix, pairs, next: 0 };
  }

  #entryOrder(path: ByteString, a: readonly Dirent[], b: readonly Dirent[]): void {
    if (a.length !== b.length) return;
    const at = a.findIndex(({ name }, i) => name !== b[i]!.name);
    if (at >= 0) this.#note("entry-order", path, `entry ${at + 1}`, "another one");
  }

  #xattrs(path: ByteString, a: RawInode, b: RawInode): void {
    const [listA, listB] = [this.#pairs(this.#a, a), this.#pairs(this.#b, b)];
    const text = (list: readonly Xattr[]) => list.map(({ name, value }) => `${name}=${value}`);
    const [textA, textB] = [text(listA), text(listB)];
    if (textA.join("\0") !== textB.join("\0")) {
      const names = (list: readonly Xattr[]) =>
        list.map(({ name }) => printableName(name)).join(" ") || "none";
      const isSameSet = textA.toSorted().join("\0") === textB.toSorted().join("\0");
      this.#note(isSameSet ? "xattr-order" : "xattrs", path, names(listA), names(listB));
      if (!isSameSet) return;
    }
    const shared = (list: readonly Xattr[]) => list.filter(({ isShared }) => isShared).length;
    this.#compare("xattr-sharing", path, `${shared(listA)} shared`, `${shared(listB)} shared`);
    if (listA.length > 0 && listB.length > 0 && this.#sameAlgorithm) {
      const filter = ({ bytes }: ErofsImage, { xattrStart }: RawInode) => hex(bytes.readUInt32LE(xattrStart));
      this.#compare("xattr-filter", path, filter(this.#a, a), filter(this.#b, b));
    }
  }

  /** In the order of the image. References to objects, which differ in every file between algorithms, are left out then. */
  #pairs(image: ErofsImage, inode: RawInode): Xattr[] {
    const pairs: Xattr[] = [];
    image.xattrs(inode, (entry) => {
      const name = image.xattrName(entry);
      if (!this.#sameAlgorithm && (name === METACOPY || name === REDIRECT)) return;
      const isShared = entry < inode.xattrStart + XATTR_HEADER_SIZE || entry >= inode.xattrEnd;
      pairs.push({ name, value: image.xattrValue(entry), isShared });
    });
    return pairs;
  }

  /** Inodes may come in another order, or only lie elsewhere because something before them has another size. */
  #order(): void {
    const [a, b] = this.#nids;
    const order = Uint32Array.from(a, (_, i) => i).sort((i, j) => a[i]! - a[j]!);
    let moved = 0;
    let isOther = false;
    let last = -1;
    for (const i of order) {
      if (a[i] !== b[i]) moved++;
      if (b[i]! < last) isOther = true;
      last = b[i]!;
    }
    const [rootA, rootB] = [a[0]!, b[0]!];
    if (isOther) this.#note("inode-order", undefined, orderOf(this.#a), orderOf(this.#b));
    else if (moved > 0) {
      const at = a.findIndex((nid, i) => nid !== b[i]);
      this.#note("inode-place", undefined, String(a[at] ?? rootA), String(b[at] ?? rootB));
    }
  }

  /** Bytes that no structure accounts for. */
  #remainder(): void {
    const { bytes: a } = this.#a;
    const { bytes: b } = this.#b;
    if (a.equals(b)) return;
    const at = a.findIndex((byte, i) => byte !== b[i]);
    this.#note("unused-bytes", undefined, `${hex(a[at]!)} at offset ${at}`, `${hex(b[at]!)} at offset ${at}`);
  }
}

interface Xattr {
  readonly name: ByteString;
  readonly value: ByteString;
  /** In the table that all inodes share. */
  readonly isShared: boolean;
}

/** Offset in both forms of an inode. */
const INODE_NUMBER = 20;
/** UUID and volume name. */
const UUID_START = 1072;
const UUID_END = SUPERBLOCK.featureIncompat;

function isNoDot({ name }: Dirent): boolean {
  return name !== "." && name !== "..";
}

function form({ extended }: RawInode): string {
  return extended ? "extended" : "compact";
}

function place({ layout }: RawInode): string {
  if (layout === LAYOUT_CHUNKED) return "object";
  return layout === LAYOUT_INLINE ? "behind the inode" : "blocks or none";
}

function dataBlockCount({ layout, size }: RawInode): number {
  return layout === LAYOUT_INLINE ? Math.floor(size / BLOCK_SIZE) : Math.ceil(size / BLOCK_SIZE);
}

function orderOf({ version }: ErofsImage): string {
  return version === 2 ? "depth first (format 2)" : `breadth first (format ${version})`;
}

function printableName(name: ByteString): string {
  return name.replace(/[^!-~]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
