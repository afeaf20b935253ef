import type { ByteString } from "../bytes.ts";
import { display } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import {
  type Directory,
  directory,
  type Leaf,
  leaf,
  NO_XATTRS,
  type Node,
  type Stat,
  type Xattrs,
} from "../tree/model.ts";
import { CHECKSUM_SIZE, type Checksum, checksumBytes, checksumOf } from "./checksum.ts";
import type { CommitTable } from "./commit-table.ts";
import { visitDirTree } from "./dirtree-reader.ts";
import { isSymlink, readArchiveHeader } from "./file-header.ts";
import {
  entryTwice,
  OBJECT_TYPES,
  type ObjectType,
  parseCommit,
  parseDirMeta,
  readEntryName,
  type XattrPair,
} from "./objects.ts";
import { expectEntries, type Part, partOfEntry, type Subpaths } from "./subpaths.ts";

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
export function buildCommitTree(table: CommitTable, commit: Checksum, options: TreeOptions = {}): CommitTree {
  const builder = new TreeBuilder(table, options);
  const root = builder.root(commit, options.subpaths?.top ?? "all");
  return { root, hasXattrs: builder.hasXattrs, objectCount: builder.objectCount };
}

interface FileRow {
  readonly name: ByteString;
  readonly file: number;
}

interface DirectoryRow {
  readonly name: ByteString;
  readonly tree: number;
  readonly meta: number;
  readonly below: Part;
}

class TreeBuilder {
  hasXattrs = false;
  objectCount = 0;
  readonly #table: CommitTable;
  readonly #clean: boolean;
  /** What each object of the table is, as far as it has been met: 0 or a number of OBJECT_TYPES. */
  readonly #types: Uint8Array;
  /** By the index of the dirmeta. */
  readonly #stats = new Map<number, Stat>();
  readonly #leafStats = new Map<string, Stat>();
  #lastLeafStat: Stat | undefined;
  /** By the index of the file. */
  readonly #leaves: (Leaf | undefined)[] = [];
  #leafCount = 0;
  #entries = 0;

  constructor(table: CommitTable, options: TreeOptions) {
    this.#table = table;
    this.#types = new Uint8Array(table.length);
    this.#clean = options.cleanXattrNames === true;
  }

  root(commit: Checksum, part: Part): Directory {
    const key = (checksum: Checksum) => checksumBytes(checksum);
    const { rootTree, rootMeta } = parseCommit(this.#table.dataAt(this.#take(key(commit), 0, "commit")));
    return this.#directory(
      this.#take(key(rootTree), 0, "dirtree"),
      this.#take(key(rootMeta), 0, "dirmeta"),
      0,
      part,
    );
  }

  /** Index of the object whose checksum begins at `offset` of `key`. */
  #take(key: Uint8Array, offset: number, type: ObjectType): number {
    const index = this.#table.indexOfBytes(key, offset);
    if (index < 0) {
      const checksum = checksumOf(key.subarray(offset, offset + CHECKSUM_SIZE));
      throw new CfsError("NotFound", `Unexpectedly missing ostree ${type} object ${checksum}`, {
        hint: "pull the commit again",
      });
    }
    const known = this.#types[index];
    if (known === 0) {
      this.#types[index] = OBJECT_TYPES[type];
      this.objectCount++;
    } else if (known !== OBJECT_TYPES[type]) {
      throw new CfsError("Corrupt", `the object ${this.#table.checksumAt(index)} can't be of two types`);
    }
    return index;
  }

  /** Read again where a directory is there again: to keep them all would take more memory than the tree. */
  #directory(tree: number, meta: number, depth: number, part: Part): Directory {
    if (depth > MAX_DEPTH) {
      throw new CfsError(
        "Unsupported",
        `the commit has directories that are nested more than ${MAX_DEPTH} times`,
      );
    }
    const result = directory({ ...this.#stat(meta) });
    const { entries } = result;
    const { bytes } = this.#table;
    const { files, directories } = this.#rows(tree, part);
    this.#entries += files.length + directories.length;
    if (this.#entries > MAX_ENTRIES)
      throw new CfsError("Unsupported", `the commit has more than ${MAX_ENTRIES} files and directories`);
    const add = (name: ByteString, node: Node) => {
      if (entries.has(name)) throw withContext("dirtree", entryTwice(name));
      entries.set(name, node);
    };
    for (const { name, file } of files) add(name, this.#leaf(this.#take(bytes, file, "file")));
    for (const { name, tree, meta, below } of directories) {
      const indexes = [this.#take(bytes, tree, "dirtree"), this.#take(bytes, meta, "dirmeta")] as const;
      add(name, this.#directory(...indexes, depth + 1, below));
    }
    expectEntries(part, (name) => entries.has(name));
    return result;
  }

  /** What is wanted of a dirtree; checksums by their places in the table. */
  #rows(tree: number, part: Part): { files: FileRow[]; directories: DirectoryRow[] } {
    const { bytes } = this.#table;
    const { start, end } = this.#table.dataRange(tree);
    const files: FileRow[] = [];
    const directories: DirectoryRow[] = [];
    try {
      visitDirTree(bytes, start, end, {
        file(nameStart, nameEnd, file) {
          const name = readEntryName(bytes, nameStart, nameEnd);
          if (partOfEntry(part, name) === "all") files.push({ name, file });
        },
        directory(nameStart, nameEnd, tree, meta) {
          const name = readEntryName(bytes, nameStart, nameEnd);
          const below = partOfEntry(part, name);
          if (below !== undefined) directories.push({ name, tree, meta, below });
        },
      });
    } catch (error) {
      throw withContext("dirtree", error);
    }
    return { files, directories };
  }

  #stat(index: number): Stat {
    let stat = this.#stats.get(index);
    if (stat === undefined) {
      const { mode, uid, gid, xattrs } = parseDirMeta(this.#table.dataAt(index));
      stat = { mode: mode & 0o7777, uid, gid, ...NO_TIME, xattrs: this.#xattrs(xattrs) };
      this.#stats.set(index, stat);
    }
    return stat;
  }

  #leaf(index: number): Leaf {
    let found = this.#leaves[index];
    if (found === undefined) {
      found = this.#newLeaf(index);
      this.#leaves[index] = found;
      if (++this.#leafCount % LEAVES_PER_COLLECTION === 0) Bun.gc(true);
    }
    return found;
  }

  #newLeaf(index: number): Leaf {
    const table = this.#table;
    const { start, end: limit } = table.dataRange(index);
    const { header, size, end } = readArchiveHeader(table.bytes, start, limit);
    const external = table.externalAt(index);
    const { mode, uid, gid, target } = header;
    const stat = this.#leafStat(mode & 0o7777, uid, gid, header.xattrs);
    if (external !== undefined && limit > end)
      throw new CfsError("Corrupt", `Unexpected trailing file data of ${table.checksumAt(index)}`);
    if (isSymlink(header)) return leaf(stat, { type: "symlink", target });
    if (external !== undefined) return leaf(stat, { type: "external", id: external, size: BigInt(size) });
    if (limit - end !== size) {
      const file = `file ${table.checksumAt(index)}`;
      throw new CfsError("Corrupt", `${file} has ${limit - end} bytes instead of ${size}`);
    }
    return leaf(stat, { type: "inline", data: table.bytes.latin1Slice(end, limit) });
  }

  /** Most files have one of a few. */
  #leafStat(mode: number, uid: number, gid: number, xattrs: readonly XattrPair[]): Stat {
    if (xattrs.length > 0) return { mode, uid, gid, ...NO_TIME, xattrs: this.#xattrs(xattrs) };
    const last = this.#lastLeafStat;
    if (last?.mode === mode && last.uid === uid && last.gid === gid) return last;
    const key = `${mode}:${uid}:${gid}`;
    let stat = this.#leafStats.get(key);
    if (stat === undefined) {
      stat = { mode, uid, gid, ...NO_TIME, xattrs: NO_XATTRS };
      this.#leafStats.set(key, stat);
    }
    this.#lastLeafStat = stat;
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
