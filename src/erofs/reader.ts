import { type ByteString, display } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../mode.ts";
import {
  type Content,
  type Directory,
  directory,
  type Leaf,
  leaf,
  NO_XATTRS,
  type Stat,
  type Xattrs,
} from "../tree/model.ts";
import { isWhiteout } from "../tree/walk.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import {
  type FormatVersion,
  LAYOUT_CHUNKED,
  MAX_IMAGE_SIZE,
  MAX_INLINE_V2,
  MAX_NAME,
  MAX_SYMLINK,
  OVERLAY_ESCAPE_PREFIX,
  OVERLAY_PREFIX,
  WHITEOUT_DIRECTORY_MARKERS,
  WHITEOUT_MARKERS,
  WHITEOUT_OPAQUE_MARKERS,
} from "./format.ts";
import { ErofsImage, invalidImage, type RawInode } from "./image.ts";

/** What reading an image may cost at most. */
export interface ReadLimits {
  /** Directory entries. */
  readonly entries: number;
  /** Nested directories. */
  readonly depth: number;
  /** Bytes of the image. */
  readonly size: number;
}

export const DEFAULT_READ_LIMITS: ReadLimits = { entries: 16_000_000, depth: 2048, size: MAX_IMAGE_SIZE };

export interface ImageTree {
  readonly root: Directory;
  readonly version: FormatVersion;
}

/** An xattr list as it stood in the image where a map cannot hold it: further pairs of a name. */
export type ExtraPairs = Map<Directory | Leaf, [ByteString, ByteString][]>;

/**
 * Reads an image back into a tree, and checks its structure on the way: ranges, `.` and `..`, link counts, names,
 * metacopy values, directories with several names.
 *
 * What images of versions 0 and 1 add comes off again: whiteouts in the root with two hex digits as name, and the
 * markers of escaped whiteouts. A user's own `trusted.overlay.{opaque,whiteout,whiteouts}` and
 * `user.overlay.{opaque,whiteout,whiteouts}` can't be told from them and are lost.
 *
 * @throws CfsError Corrupt, with the directories that lead to the fault.
 */
export function readImage(
  bytes: Uint8Array,
  algorithm: Algorithm,
  limits: ReadLimits = DEFAULT_READ_LIMITS,
): ImageTree {
  return new TreeReader(bytes, algorithm, limits, undefined).read();
}

/**
 * Reads every entry and xattr of an image, only unescaping names: whiteouts of the root are kept, escaped whiteouts
 * are regular files, and marker xattrs stay.
 * @param extra receives what no tree can hold.
 */
export function readImageVerbatim(
  bytes: Uint8Array,
  algorithm: Algorithm,
  extra: ExtraPairs,
  limits: ReadLimits = DEFAULT_READ_LIMITS,
): ImageTree {
  return new TreeReader(bytes, algorithm, limits, extra).read();
}

const MARKERS: ReadonlySet<string> = new Set([
  ...WHITEOUT_MARKERS,
  ...WHITEOUT_DIRECTORY_MARKERS,
  ...WHITEOUT_OPAQUE_MARKERS,
]);

interface NodeXattrs {
  own: Xattrs;
  extra: [ByteString, ByteString][] | undefined;
  metacopy: ObjectId | undefined;
  redirect: ObjectId | undefined;
  /** Has the marker of an escaped whiteout. */
  whiteout: boolean;
}

const NOTHING: NodeXattrs = {
  own: NO_XATTRS,
  extra: undefined,
  metacopy: undefined,
  redirect: undefined,
  whiteout: false,
};

class TreeReader {
  readonly #image: ErofsImage;
  readonly #algorithm: Algorithm;
  readonly #limits: ReadLimits;
  readonly #extra: ExtraPairs | undefined;
  readonly #buildTime: { mtime: bigint; mtimeNsec: number };
  readonly #directoriesSeen = new Set<number>();
  readonly #leaves = new Map<number, { leaf: Leaf; nlink: number; found: number }>();
  readonly #sharedPairs = new Map<number, [ByteString, ByteString]>();
  readonly #maps = new Map<string, Xattrs>();
  #entries = 0;

  constructor(bytes: Uint8Array, algorithm: Algorithm, limits: ReadLimits, extra: ExtraPairs | undefined) {
    this.#image = new ErofsImage(bytes, limits.size);
    this.#algorithm = algorithm;
    this.#limits = limits;
    this.#extra = extra;
    this.#buildTime = this.#image.buildTime;
  }

  read(): ImageTree {
    const nid = this.#image.rootNid;
    const inode = this.#image.inode(nid);
    if ((inode.mode & S_IFMT) !== S_IFDIR) throw invalidImage("root inode is not a directory");
    let root: Directory;
    try {
      root = this.#directory(inode, this.#xattrs(inode), nid, 0);
    } catch (error) {
      throw withContext("reading root directory", error);
    }
    for (const [leafNid, { nlink, found }] of this.#leaves) {
      if (nlink !== found) {
        throw new CfsError(
          "Corrupt",
          `nlink mismatch for inode nid ${leafNid}: on-disk nlink is ${nlink}, but found ${found} reference(s) ` +
            "in the directory tree",
        );
      }
    }
    return { root, version: this.#image.version };
  }

  #directory(inode: RawInode, xattrs: NodeXattrs, parentNid: number, depth: number): Directory {
    const image = this.#image;
    this.#directoriesSeen.add(inode.nid);
    if (depth > this.#limits.depth) throw new CfsError("Corrupt", "Maximum directory depth exceeded");
    const dirents = image.dirents(inode);
    this.#entries += dirents.length;
    if (this.#entries > this.#limits.entries) {
      throw invalidImage(`more than ${this.#limits.entries} directory entries`);
    }
    let dots = 0;
    for (const { name, nid } of dirents) {
      if (name === ".") {
        if (nid !== inode.nid) throw wrongDots(".");
        dots |= 1;
      } else if (name === "..") {
        if (nid !== parentNid) throw wrongDots("..");
        dots |= 2;
      }
    }
    if ((dots & 1) === 0) throw wrongDots(".");
    if ((dots & 2) === 0) throw wrongDots("..");
    const node = directory(this.#stat(inode, xattrs));
    this.#keepExtra(node, xattrs);
    const isRoot = inode.nid === image.rootNid;
    let subdirectories = 0;
    for (const { name, nid } of dirents) {
      if (name === "." || name === "..") continue;
      const child = this.#entry(name, nid, inode, isRoot, depth);
      if (child === undefined) continue;
      if (child.kind === "directory") subdirectories++;
      const before = node.entries.size;
      node.entries.set(name, child);
      if (node.entries.size === before) {
        throw new CfsError("Corrupt", `Duplicate directory entry "${display(name)}"`);
      }
    }
    if (inode.nlink !== 2 + subdirectories) {
      throw new CfsError(
        "Corrupt",
        `directory nlink mismatch: on-disk nlink is ${inode.nlink}, expected ${2 + subdirectories} ` +
          `(2 + ${subdirectories} subdirectories)`,
      );
    }
    return node;
  }

  /** The node of a name; undefined for a whiteout that only hides the object directories. */
  #entry(
    name: ByteString,
    nid: number,
    parent: RawInode,
    inRoot: boolean,
    depth: number,
  ): Directory | Leaf | undefined {
    if (name === "" || name.length > MAX_NAME || name.includes("/") || name.includes("\0")) {
      throw new CfsError("Corrupt", `Invalid filename "${display(name)}"`);
    }
    const known = this.#leaves.get(nid);
    if (known !== undefined) {
      known.found++;
      if (this.#extra === undefined && isWhiteout(known.leaf)) throw linkedWhiteout(name);
      return known.leaf;
    }
    // Two names of one parent may lead to it: followed twice at every level, that is a tree of exponential size.
    if (this.#directoriesSeen.has(nid)) {
      throw withContext(
        `reading directory "${display(name)}"`,
        new CfsError("Corrupt", "Hardlinked directories detected"),
      );
    }
    const inode = this.#image.inode(nid);
    if ((inode.mode & S_IFMT) === S_IFDIR) {
      const xattrs = this.#xattrs(inode);
      try {
        return this.#directory(inode, xattrs, parent.nid, depth + 1);
      } catch (error) {
        throw withContext(`reading directory "${display(name)}"`, error);
      }
    }
    const node = this.#leaf(inode, name);
    const hidden = this.#extra === undefined && inRoot && isWhiteout(node) && /^[0-9a-fA-F]{2}$/.test(name);
    if (hidden) return undefined;
    if (this.#extra === undefined && inode.nlink > 1 && isWhiteout(node)) throw linkedWhiteout(name);
    this.#leaves.set(nid, { leaf: node, nlink: inode.nlink, found: 1 });
    return node;
  }

  #leaf(inode: RawInode, name: ByteString): Leaf {
    const xattrs = this.#xattrs(inode);
    const node = leaf(this.#stat(inode, xattrs), this.#content(inode, xattrs, name));
    this.#keepExtra(node, xattrs);
    return node;
  }

  #content(inode: RawInode, xattrs: NodeXattrs, name: ByteString): Content {
    switch (inode.mode & S_IFMT) {
      case S_IFREG:
        return this.#regular(inode, xattrs, name);
      case S_IFLNK: {
        const target = this.#image.data(inode);
        if (target.length > MAX_SYMLINK) throw longTarget(name, target.length);
        if (target.includes("\0"))
          throw invalidImage(`symlink target for "${display(name)}" holds a NUL byte`);
        return { type: "symlink", target };
      }
      case S_IFCHR:
        return { type: "char", rdev: BigInt(inode.u) };
      case S_IFBLK:
        return { type: "block", rdev: BigInt(inode.u) };
      case S_IFIFO:
        return { type: "fifo" };
      case S_IFSOCK:
        return { type: "socket" };
      default:
        throw new CfsError(
          "Corrupt",
          `unknown file type 0o${(inode.mode & S_IFMT).toString(8)} for "${display(name)}"`,
        );
    }
  }

  #regular(inode: RawInode, xattrs: NodeXattrs, name: ByteString): Content {
    const version2 = this.#image.version === 2;
    if (!version2 && xattrs.whiteout && this.#extra === undefined) return { type: "char", rdev: 0n };
    if (xattrs.metacopy !== undefined) {
      return { type: "external", id: xattrs.metacopy, size: this.#image.exactSize(inode) };
    }
    if (xattrs.redirect !== undefined) {
      return { type: "external-no-verity", id: xattrs.redirect, size: this.#image.exactSize(inode) };
    }
    if (inode.layout === LAYOUT_CHUNKED) return { type: "sparse", size: this.#image.exactSize(inode) };
    if (version2 && inode.size > MAX_INLINE_V2) {
      throw new CfsError(
        "Corrupt",
        `inline regular file "${display(name)}" has size ${inode.size} (max ${MAX_INLINE_V2})`,
      );
    }
    return { type: "inline", data: this.#image.data(inode) };
  }

  #stat(inode: RawInode, xattrs: NodeXattrs): Stat {
    const { mtime, mtimeNsec } = this.#image.mtime(inode) ?? this.#buildTime;
    if (mtimeNsec >= 1_000_000_000) {
      throw invalidImage(`mtime nanoseconds ${mtimeNsec} (must be < 1_000_000_000)`);
    }
    const { uid, gid } = inode;
    return { mode: inode.mode & 0o7777, uid, gid, mtime, mtimeNsec, xattrs: xattrs.own };
  }

  #xattrs(inode: RawInode): NodeXattrs {
    if (inode.xattrStart === inode.xattrEnd) return NOTHING;
    const image = this.#image;
    const found: NodeXattrs = { ...NOTHING };
    const regular = (inode.mode & S_IFMT) === S_IFREG;
    let plainRedirect = -1;
    let own: Map<ByteString, ByteString> | undefined;
    // Names the map by its shared entries; local ones are there only once.
    let key: string | undefined = "";
    image.xattrs(inode, (entry) => {
      const kind = image.overlayKind(entry);
      if (kind !== undefined) {
        if (!regular) return;
        if (kind === "metacopy") found.metacopy = image.metacopy(entry, this.#algorithm);
        else plainRedirect = entry;
        return;
      }
      const shared = entry < inode.xattrStart || entry >= inode.xattrEnd;
      const [name, value] = this.#pair(entry, shared);
      if (name === WHITEOUT_MARKERS[0]) found.whiteout = true;
      if (this.#extra === undefined && MARKERS.has(name)) return;
      if (name.startsWith(OVERLAY_PREFIX) && !name.startsWith(OVERLAY_ESCAPE_PREFIX)) return;
      own ??= new Map();
      const plainName = name.startsWith(OVERLAY_ESCAPE_PREFIX)
        ? OVERLAY_PREFIX + name.slice(OVERLAY_ESCAPE_PREFIX.length)
        : name;
      if (this.#extra !== undefined && own.has(plainName)) {
        found.extra ??= [];
        found.extra.push([plainName, value]);
        return;
      }
      own.set(plainName, value);
      key = shared && key !== undefined ? `${key}${entry},` : undefined;
    });
    if (found.metacopy === undefined && plainRedirect >= 0) {
      found.redirect = image.redirect(plainRedirect, this.#algorithm);
    }
    if (own !== undefined) found.own = this.#interned(own, key);
    return found;
  }

  /** Equal maps become one: most nodes of a labelled tree have one of a few. */
  #interned(own: Map<ByteString, ByteString>, key: string | undefined): Xattrs {
    if (key === undefined) return own;
    const known = this.#maps.get(key);
    if (known !== undefined) return known;
    this.#maps.set(key, own);
    return own;
  }

  #pair(entry: number, shared: boolean): [ByteString, ByteString] {
    if (!shared) return [this.#image.xattrName(entry), this.#image.xattrValue(entry)];
    let pair = this.#sharedPairs.get(entry);
    if (pair === undefined) {
      this.#image.chargeXattr(entry);
      pair = [this.#image.xattrName(entry), this.#image.xattrValue(entry)];
      this.#sharedPairs.set(entry, pair);
    }
    return pair;
  }

  #keepExtra(node: Directory | Leaf, xattrs: NodeXattrs): void {
    if (xattrs.extra !== undefined) this.#extra?.set(node, xattrs.extra);
  }
}

function wrongDots(name: string): CfsError {
  return new CfsError("Corrupt", `Invalid '${name}' entry in directory`);
}

function linkedWhiteout(name: ByteString): CfsError {
  return new CfsError("Corrupt", `invalid composefs image: whiteout inode "${display(name)}" has nlink > 1`);
}

function longTarget(name: ByteString, size: number): CfsError {
  return new CfsError(
    "Corrupt",
    `symlink target for "${display(name)}" is ${size} bytes (max ${MAX_SYMLINK})`,
  );
}
