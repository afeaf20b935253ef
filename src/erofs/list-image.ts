import type { ByteString } from "../bytes.ts";
import { S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../mode.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import {
  LAYOUT_CHUNKED,
  OVERLAY_ESCAPE_PREFIX,
  OVERLAY_PREFIX,
  WHITEOUT_DIRECTORY_MARKERS,
  WHITEOUT_MARKERS,
} from "./format.ts";
import { type Dirent, ErofsImage, type RawInode } from "./image.ts";
import { readImageVerbatim } from "./reader.ts";

/** A name in an image with what its inode says, closer to the bytes than a tree is. */
export interface ListedEntry {
  /** `/` for the root, else `/a/b`. */
  readonly path: ByteString;
  /** Type and permissions; of an escaped whiteout, those of the whiteout. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** As it stands in the inode: of a directory, the bytes that its entries take. */
  readonly size: bigint;
  readonly mtime: bigint;
  readonly mtimeNsec: number;
  /** Target of a symbolic link. */
  readonly target: ByteString | undefined;
  /** Content that is in the image. */
  readonly content: ByteString | undefined;
  /** Path of the file with the content, below the directory of such files; without a slash in front. */
  readonly backing: ByteString | undefined;
  /** The digest that is enforced for it. */
  readonly digest: ObjectId | undefined;
  /** In the order of the inode: first its own ones, then those that it shares. */
  readonly xattrs: readonly (readonly [name: ByteString, value: ByteString])[];
  /** The first path that led to this inode, when it is not this one. */
  readonly linkTo: ByteString | undefined;
}

export interface ListOptions {
  /** Of the root's entries only those; all unless given. */
  readonly names?: ReadonlySet<ByteString>;
}

/**
 * All names in an image, each directory before what is in it, as the image has them. The whiteouts that the format adds
 * are left out, and so are the xattrs that mean something to overlayfs only, but for those that make a directory opaque.
 * @throws CfsError Corrupt; before the first entry, as everything is checked first.
 */
export function listImage(
  bytes: Uint8Array,
  algorithm: Algorithm,
  { names }: ListOptions = {},
): Generator<ListedEntry> {
  // Its limits and checks hold for the walk below as well: there are no loops, and everything is within the image.
  readImageVerbatim(bytes, algorithm, new Map());
  return new Lister(new ErofsImage(bytes), algorithm).list(names);
}

interface Frame {
  readonly prefix: ByteString;
  readonly entries: readonly Dirent[];
  next: number;
}

class Lister {
  readonly #image: ErofsImage;
  readonly #algorithm: Algorithm;
  readonly #buildTime: { mtime: bigint; mtimeNsec: number };
  /** First paths of inodes with several links. */
  readonly #linked = new Map<number, ListedEntry>();

  constructor(image: ErofsImage, algorithm: Algorithm) {
    this.#image = image;
    this.#algorithm = algorithm;
    this.#buildTime = image.buildTime;
  }

  *list(names: ReadonlySet<ByteString> | undefined): Generator<ListedEntry> {
    const image = this.#image;
    const root = image.inode(image.rootNid);
    yield this.#entry("/", root);
    const entries = image.dirents(root).filter(({ name }) => names === undefined || names.has(name));
    const stack: Frame[] = [{ prefix: "/", entries, next: 0 }];
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const dirent = frame.entries[frame.next++];
      if (dirent === undefined) {
        stack.pop();
        continue;
      }
      if (dirent.name === "." || dirent.name === "..") continue;
      const path = frame.prefix + dirent.name;
      const first = this.#linked.get(dirent.nid);
      if (first !== undefined) {
        yield { ...first, path, linkTo: first.path };
        continue;
      }
      const inode = image.inode(dirent.nid);
      if ((inode.mode & S_IFMT) === S_IFCHR && inode.u === 0) continue;
      const entry = this.#entry(path, inode);
      const isDirectory = (inode.mode & S_IFMT) === S_IFDIR;
      if (!isDirectory && inode.nlink > 1) this.#linked.set(dirent.nid, entry);
      yield entry;
      if (isDirectory) stack.push({ prefix: `${path}/`, entries: image.dirents(inode), next: 0 });
    }
  }

  #entry(path: ByteString, inode: RawInode): ListedEntry {
    const image = this.#image;
    const type = inode.mode & S_IFMT;
    const { mtime, mtimeNsec } = image.mtime(inode) ?? this.#buildTime;
    const { xattrs, whiteout, backing, digest } = this.#xattrs(inode);
    const isEscaped = whiteout && type === S_IFREG && image.version !== 2;
    const isFile = type === S_IFREG && !isEscaped;
    const isInside = isFile && inode.layout !== LAYOUT_CHUNKED && inode.size > 0;
    return {
      path,
      mode: isEscaped ? S_IFCHR | (inode.mode & 0o7777) : inode.mode,
      nlink: inode.nlink,
      uid: inode.uid,
      gid: inode.gid,
      rdev: type === S_IFDIR || type === S_IFREG || type === S_IFLNK ? 0 : inode.u,
      size: image.exactSize(inode),
      mtime,
      mtimeNsec,
      target: type === S_IFLNK ? image.data(inode) : undefined,
      content: isInside ? image.data(inode) : undefined,
      backing: isFile ? backing : undefined,
      digest: isFile ? digest : undefined,
      xattrs,
      linkTo: undefined,
    };
  }

  #xattrs(inode: RawInode): {
    xattrs: [ByteString, ByteString][];
    whiteout: boolean;
    backing: ByteString | undefined;
    digest: ObjectId | undefined;
  } {
    const image = this.#image;
    const own: [ByteString, ByteString][] = [];
    const shared: [ByteString, ByteString][] = [];
    let whiteout = false;
    let backing: ByteString | undefined;
    let digest: ObjectId | undefined;
    image.xattrs(inode, (at) => {
      const kind = image.overlayKind(at);
      if (kind === "metacopy") digest = image.metacopy(at, this.#algorithm);
      if (kind === "redirect") backing = image.xattrValue(at).replace(/^\/+/, "");
      const name = image.xattrName(at);
      if (name === WHITEOUT_MARKERS[0]) whiteout = true;
      if (HIDDEN.has(name)) return;
      const isShared = at < inode.xattrStart || at >= inode.xattrEnd;
      const list = isShared ? shared : own;
      if (name.startsWith(OVERLAY_ESCAPE_PREFIX))
        list.push([OVERLAY_PREFIX + name.slice(OVERLAY_ESCAPE_PREFIX.length), image.xattrValue(at)]);
      else if (!name.startsWith(OVERLAY_PREFIX)) list.push([name, image.xattrValue(at)]);
    });
    return { xattrs: [...own, ...shared], whiteout, backing, digest };
  }
}

const HIDDEN: ReadonlySet<ByteString> = new Set([...WHITEOUT_MARKERS, ...WHITEOUT_DIRECTORY_MARKERS]);
