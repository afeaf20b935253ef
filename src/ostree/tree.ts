import type { ByteString } from "../bytes.ts";
import { byteString, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import {
  type Directory,
  directory,
  type Leaf,
  leaf,
  NO_XATTRS,
  type Stat,
  type Xattrs,
} from "../tree/model.ts";
import type { Checksum } from "./checksum.ts";
import type { ObjectLookup, StoredObject } from "./commit-table.ts";
import { archiveHeaderLength, isSymlink, parseArchiveHeader } from "./file-header.ts";
import { type DirTree, parseCommit, parseDirMeta, parseDirTree, type XattrPair } from "./objects.ts";
import { type Part, type Subpaths, selectEntries } from "./subpaths.ts";

export interface TreeOptions {
  /**
   * Take off the NUL that ostree puts at the end of xattr names, so that the kernel knows them. Images of composefs-rs
   * have it.
   */
  readonly cleanXattrNames?: boolean;
  /** What the tree is to have besides the directories that lead there; all of the commit when undefined. */
  readonly subpaths?: Subpaths | undefined;
}

/** The tree of a commit, and what was seen on the way. */
export interface CommitTree {
  readonly root: Directory;
  /** Some file or directory has extended attributes. */
  readonly hasXattrs: boolean;
  /** Number of different objects of the commit: as many as a complete stream has. */
  readonly objectCount: number;
}

/** A few hundred bytes of dirtrees can make a tree of any size: the same directory may be in it any number of times. */
const MAX_ENTRIES = 4_000_000;
const MAX_DEPTH = 1024;
/** Left alone, what reading headers leaves behind takes more memory than the tree (100,000 files: 140 MB). */
const LEAVES_PER_COLLECTION = 20_000;
const NO_TIME = { mtime: 0n, mtimeNsec: 0 };

/**
 * Makes the tree of a commit: as it is in the commit, all times zero, files of the same checksum hard links.
 * @throws CfsError NotFound when an object is missing; Corrupt, Unsupported when one is malformed or the tree is too
 *   large
 */
export function buildCommitTree(
  objects: ObjectLookup,
  commit: Checksum,
  options: TreeOptions = {},
): CommitTree {
  const builder = new TreeBuilder(objects, options);
  const { rootTree, rootMeta } = parseCommit(builder.take(commit, "commit").data);
  const root = builder.directory(rootTree, rootMeta, 0, options.subpaths?.top ?? "all");
  return { root, hasXattrs: builder.hasXattrs, objectCount: builder.objectCount };
}

class TreeBuilder {
  hasXattrs = false;
  readonly #objects: ObjectLookup;
  readonly #clean: boolean;
  readonly #seen = new Set<Checksum>();
  readonly #stats = new Map<Checksum, Stat>();
  readonly #leafStats = new Map<string, Stat>();
  readonly #leaves = new Map<Checksum, Leaf>();
  #entries = 0;

  constructor(objects: ObjectLookup, options: TreeOptions) {
    this.#objects = objects;
    this.#clean = options.cleanXattrNames === true;
  }

  get objectCount(): number {
    return this.#seen.size;
  }

  take(checksum: Checksum, type: string): StoredObject {
    const object = this.#objects.find(checksum);
    if (object === undefined) {
      throw new CfsError("NotFound", `Unexpectedly missing ostree ${type} object ${checksum}`, {
        hint: "pull the commit again",
      });
    }
    this.#seen.add(checksum);
    return object;
  }

  directory(treeId: Checksum, metaId: Checksum, depth: number, part: Part): Directory {
    if (depth > MAX_DEPTH) {
      throw new CfsError(
        "Unsupported",
        `the commit has directories that are nested more than ${MAX_DEPTH} times`,
      );
    }
    const result = directory({ ...this.#stat(metaId) });
    const { files, directories } = selectEntries(this.#tree(treeId), part);
    this.#entries += files.length + directories.length;
    if (this.#entries > MAX_ENTRIES)
      throw new CfsError("Unsupported", `the commit has more than ${MAX_ENTRIES} files and directories`);
    for (const { name, file } of files) result.entries.set(name, this.#leaf(file));
    for (const { name, tree, meta, part } of directories) {
      result.entries.set(name, this.directory(tree, meta, depth + 1, part));
    }
    return result;
  }

  /** Read again where a directory is there again: to keep them all would take more memory than the tree. */
  #tree(checksum: Checksum): DirTree {
    return parseDirTree(this.take(checksum, "dirtree").data);
  }

  #stat(checksum: Checksum): Stat {
    let stat = this.#stats.get(checksum);
    if (stat === undefined) {
      const { mode, uid, gid, xattrs } = parseDirMeta(this.take(checksum, "dirmeta").data);
      stat = { mode: mode & 0o7777, uid, gid, ...NO_TIME, xattrs: this.#xattrs(xattrs) };
      this.#stats.set(checksum, stat);
    }
    return stat;
  }

  #leaf(checksum: Checksum): Leaf {
    let found = this.#leaves.get(checksum);
    if (found === undefined) {
      found = this.#newLeaf(checksum);
      this.#leaves.set(checksum, found);
      if (this.#leaves.size % LEAVES_PER_COLLECTION === 0) Bun.gc(true);
    }
    return found;
  }

  #newLeaf(checksum: Checksum): Leaf {
    const { data, external } = this.take(checksum, "file");
    const headerLength = archiveHeaderLength(data);
    const { header, size } = parseArchiveHeader(data.subarray(0, headerLength));
    const { mode, uid, gid, target } = header;
    const stat = this.#leafStat(mode & 0o7777, uid, gid, header.xattrs);
    const content = data.subarray(headerLength);
    if (external !== undefined && content.length > 0)
      throw new CfsError("Corrupt", `Unexpected trailing file data of ${checksum}`);
    if (isSymlink(header)) return leaf(stat, { type: "symlink", target });
    if (external !== undefined) return leaf(stat, { type: "external", id: external, size: BigInt(size) });
    if (content.length !== size)
      throw new CfsError("Corrupt", `file ${checksum} has ${content.length} bytes instead of ${size}`);
    return leaf(stat, { type: "inline", data: byteString(content) });
  }

  /** Most files have one of a few. */
  #leafStat(mode: number, uid: number, gid: number, xattrs: readonly XattrPair[]): Stat {
    if (xattrs.length > 0) return { mode, uid, gid, ...NO_TIME, xattrs: this.#xattrs(xattrs) };
    const key = `${mode}:${uid}:${gid}`;
    let stat = this.#leafStats.get(key);
    if (stat === undefined) {
      stat = { mode, uid, gid, ...NO_TIME, xattrs: NO_XATTRS };
      this.#leafStats.set(key, stat);
    }
    return stat;
  }

  #xattrs(pairs: readonly XattrPair[]): Xattrs {
    if (pairs.length === 0) return NO_XATTRS;
    this.hasXattrs = true;
    if (!this.#clean) return new Map(pairs);
    return cleanNames(pairs);
  }
}

/** Without the NUL at the end of names. @throws CfsError Corrupt when two become the same */
export function cleanNames(xattrs: Iterable<XattrPair>): Xattrs {
  const cleaned = new Map<ByteString, ByteString>();
  for (const [name, value] of xattrs) {
    const bare = name.endsWith("\0") ? name.slice(0, -1) : name;
    if (cleaned.has(bare))
      throw new CfsError("Corrupt", `the extended attribute '${display(bare)}' is there twice`);
    cleaned.set(bare, value);
  }
  return cleaned;
}
