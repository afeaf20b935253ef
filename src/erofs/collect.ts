import { CfsError } from "../errors.ts";
import { S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../mode.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { DigestTable } from "../verity/digest-table.ts";
import { BLOCK_SIZE, LAYOUT_INLINE, STUB_NAMES, WHITEOUT_MARKERS } from "./format.ts";
import { type Dirent, ErofsImage, invalidImage, type RawInode } from "./image.ts";

/**
 * The objects that an image refers to, sorted: those of valid metacopy digests and those of redirects, so that files
 * without enforced digest count too. What garbage collection must keep.
 *
 * Visits every inode once and needs no tree, so neither loops nor depth matter. Checks what images of each version
 * must look like (whiteout table, escaped whiteouts, symlinks within a block).
 *
 * @throws CfsError Corrupt.
 */
export function collectObjects(bytes: Uint8Array, algorithm: Algorithm): ObjectId[] {
  return [...collect(bytes, algorithm).objects].sort();
}

/** As `collectObjects`, in no order, with the sizes in bytes that the image's files say they have. @throws CfsError Corrupt */
export function collectObjectSizes(bytes: Uint8Array, algorithm: Algorithm): ReadonlyMap<ObjectId, number> {
  const { objects, sizes } = collect(bytes, algorithm);
  return new Map(sizes.map((size, i) => [objects.at(i), size]));
}

/** As `collectObjects`, as bytes in no order, one digest after the other. @throws CfsError Corrupt */
export function collectDigests(bytes: Uint8Array, algorithm: Algorithm): Buffer {
  return collect(bytes, algorithm).objects.bytes();
}

function collect(bytes: Uint8Array, algorithm: Algorithm): Collector {
  const image = new ErofsImage(bytes);
  const { rootNid, version } = image;
  const collector = new Collector(image, algorithm);
  const seen = new Set<number>([rootNid]);
  const pending: number[] = [rootNid];
  let rootChildren: ReadonlySet<number> = new Set();
  for (let nid = pending.pop(); nid !== undefined; nid = pending.pop()) {
    const inode = image.inode(nid);
    const type = inode.mode & S_IFMT;
    collector.visit(inode);
    if (type === S_IFDIR) {
      const dirents = image.dirents(inode);
      if (nid === rootNid) {
        if (version !== 2) checkStubs(dirents);
        rootChildren = new Set(dirents.map((d) => d.nid));
      }
      for (const dirent of dirents.reverse()) {
        if (seen.has(dirent.nid)) continue;
        seen.add(dirent.nid);
        pending.push(dirent.nid);
      }
    } else if (nid === rootNid) {
      throw invalidImage("root inode is not a directory");
    } else if (version !== 2) {
      if (type === S_IFLNK) checkSymlink(inode);
      if (type === S_IFCHR && inode.u === 0 && !rootChildren.has(nid)) {
        throw invalidImage("Epoch1 image contains native whiteout outside root stubs");
      }
    }
  }
  return collector;
}

/** Of an image; a file with a digest of 64 bytes takes as much. */
const BYTES_PER_OBJECT = 256;

class Collector {
  readonly objects: DigestTable;
  /** Of the files, by the index of the object. */
  readonly sizes: number[] = [];
  readonly #image: ErofsImage;
  readonly #algorithm: Algorithm;
  readonly #sharedSeen = new Set<number>();
  readonly #redirect: Buffer;

  constructor(image: ErofsImage, algorithm: Algorithm) {
    this.#image = image;
    this.#algorithm = algorithm;
    this.objects = new DigestTable(algorithm.size, Math.ceil(image.bytes.length / BYTES_PER_OBJECT));
    this.#redirect = Buffer.alloc(algorithm.size);
  }

  visit(inode: RawInode): void {
    const image = this.#image;
    const couldBeEscaped = image.version === 2 && (inode.mode & S_IFMT) === S_IFREG && inode.size === 0;
    let markers = 0;
    image.xattrs(inode, (entry) => {
      const kind = image.overlayKind(entry);
      if (kind === undefined) {
        if (couldBeEscaped && MARKERS.has(image.xattrName(entry))) markers++;
        return;
      }
      if (entry < inode.xattrStart || entry >= inode.xattrEnd) {
        if (this.#sharedSeen.has(entry)) return;
        this.#sharedSeen.add(entry);
      }
      const index = kind === "metacopy" ? this.#addMetacopy(entry) : this.#addRedirect(entry);
      if (index !== undefined) this.sizes[index] = inode.size;
    });
    if (markers >= MARKERS.size) throw invalidImage("Epoch2 image contains escaped whiteout");
  }

  /** Values that no kernel would accept name no object. */
  #addMetacopy(entry: number): number | undefined {
    try {
      const at = this.#image.metacopyStart(entry, this.#algorithm);
      return at === undefined ? undefined : this.objects.indexOfBytes(this.#image.bytes, at);
    } catch (error) {
      if (error instanceof CfsError) return undefined;
      throw error;
    }
  }

  #addRedirect(entry: number): number | undefined {
    const isObject = this.#image.readRedirect(entry, this.#algorithm, this.#redirect);
    return isObject ? this.objects.indexOfBytes(this.#redirect, 0) : undefined;
  }
}

const MARKERS: ReadonlySet<string> = new Set(WHITEOUT_MARKERS);

function checkStubs(dirents: readonly Dirent[]): void {
  const names = new Set(dirents.map((d) => d.name));
  const found = STUB_NAMES.filter((name) => names.has(name)).length;
  if (found !== STUB_NAMES.length) {
    throw invalidImage(
      `Epoch1 image has ${found} hex-named root entries, expected ${STUB_NAMES.length} (00–ff)`,
    );
  }
}

/** Older kernels read a symlink's target only from the block where its inode starts. */
function checkSymlink(inode: RawInode): void {
  if (inode.layout !== LAYOUT_INLINE) return;
  const start = inode.at % BLOCK_SIZE;
  const meta = inode.xattrEnd - inode.at;
  const tail = inode.size % BLOCK_SIZE;
  if (start + meta + tail <= BLOCK_SIZE) return;
  throw invalidImage(
    `inode at nid ${inode.nid} (FlatInline symlink, ${tail} bytes) would trigger EUCLEAN on kernels older than ` +
      `6.12: ${start} + ${meta} + ${tail} = ${start + meta + tail} > ${BLOCK_SIZE}`,
  );
}
