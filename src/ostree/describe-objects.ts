import { type ByteString, bytesOf, toText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { Checksum } from "./checksum.ts";
import type { CommitTable } from "./commit-table.ts";
import { hexOf } from "./commit-text.ts";
import { archiveHeaderLength, isSymlink, PREFIX_SIZE, parseArchiveHeader } from "./file-header.ts";
import {
  type Commit,
  OBJECT_TYPES,
  type ObjectType,
  parseCommit,
  parseDirMeta,
  parseDirTree,
  type XattrPair,
} from "./objects.ts";
import { type Part, type Subpaths, selectEntries } from "./subpaths.ts";

/** By their numbers in OBJECT_TYPES. */
const TYPE_NAMES = Object.entries(OBJECT_TYPES).reduce<ObjectType[]>((names, [type, number]) => {
  names[number] = type as ObjectType;
  return names;
}, []);

/** The commit object of a table. @throws CfsError Corrupt */
export function commitOfTable(table: CommitTable): Commit {
  return parseCommit(dataOf(table, table.commit));
}

/** What each object of a commit is, which its table does not say. A byte for each: a commit may have a million. */
export class ObjectTypes {
  readonly #table: CommitTable;
  readonly #numbers: Uint8Array;
  #missing: CfsError | undefined;

  constructor(table: CommitTable) {
    this.#table = table;
    this.#numbers = new Uint8Array(table.length);
  }

  /** @param index in the table. @returns undefined when nothing refers to it. */
  at(index: number): ObjectType | undefined {
    return TYPE_NAMES[this.#numbers[index]!];
  }

  /** @throws CfsError Corrupt when something is referred to that the table does not have. */
  expectAll(): void {
    if (this.#missing !== undefined) throw this.#missing;
  }

  /** @returns its index in the table, -1 when it is not there. */
  set(checksum: Checksum, type: ObjectType): number {
    const index = this.#table.indexOf(checksum);
    if (index < 0) this.#missing ??= new CfsError("Corrupt", `the ${type} ${checksum} is missing`);
    else this.#numbers[index] = OBJECT_TYPES[type];
    return index;
  }
}

/**
 * Finds out what each object of a commit is.
 * @param subpaths of a commit that is there in part.
 * @throws CfsError Corrupt when a directory is missing or malformed
 */
export function objectTypes(table: CommitTable, subpaths?: Subpaths): ObjectTypes {
  const types = new ObjectTypes(table);
  const { rootTree, rootMeta } = commitOfTable(table);
  types.set(table.commit, "commit");
  types.set(rootMeta, "dirmeta");
  const pending: { tree: number; part: Part }[] = [];
  const enter = (tree: Checksum, part: Part) => {
    const index = types.set(tree, "dirtree");
    if (index < 0) types.expectAll();
    pending.push({ tree: index, part });
  };
  enter(rootTree, subpaths?.top ?? "all");
  /** Directories that have been looked at as a whole. */
  const done = new Uint8Array(table.length);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next.part === "all") {
      if (done[next.tree] === 1) continue;
      done[next.tree] = 1;
    }
    const { files, directories } = selectEntries(parseDirTree(table.dataAt(next.tree)), next.part);
    for (const { file } of files) types.set(file, "file");
    for (const { tree, meta, part } of directories) {
      types.set(meta, "dirmeta");
      enter(tree, part);
    }
  }
  return types;
}

/** Bytes of a file's content as its header says, which nobody vouches for. @throws CfsError Corrupt */
export function recordedSize(table: CommitTable, index: number): number {
  const { start, end } = table.dataRange(index);
  return end - start < PREFIX_SIZE + 8 ? 0 : Number(table.bytes.readBigUInt64BE(start + PREFIX_SIZE));
}

function dataOf(table: CommitTable, checksum: Checksum): Uint8Array {
  const found = table.find(checksum);
  if (found === undefined) throw new CfsError("Corrupt", `the object ${checksum} is missing`);
  return found.data;
}

/** An object of a commit, decoded. @param index in the table. */
export function describeObject(table: CommitTable, index: number, type: ObjectType | undefined): object {
  const checksum = table.checksumAt(index);
  const data = table.dataAt(index);
  const common = { checksum, type: type ?? null };
  switch (type) {
    case "dirmeta": {
      const { uid, gid, mode, xattrs } = parseDirMeta(data);
      return { ...common, uid, gid, mode: mode.toString(8), xattrs: xattrsJson(xattrs) };
    }
    case "dirtree": {
      const { files, directories } = parseDirTree(data);
      return {
        ...common,
        files: Object.fromEntries(files.map(({ name, file }) => [text(name), file])),
        directories: Object.fromEntries(
          directories.map(({ name, tree, meta }) => [text(name), { dirtree: tree, dirmeta: meta }]),
        ),
      };
    }
    case "file": {
      const length = archiveHeaderLength(data);
      const { header, size } = parseArchiveHeader(data.subarray(0, length));
      const { uid, gid, mode, target, xattrs } = header;
      return {
        ...common,
        uid,
        gid,
        mode: mode.toString(8),
        ...(isSymlink(header) ? { target: text(target) } : { size, object: table.externalAt(index) ?? null }),
        xattrs: xattrsJson(xattrs),
      };
    }
  }
  return { ...common, size: data.length };
}

/** Names and targets of ostree are UTF-8. */
function text(bytes: ByteString): string {
  return toText(bytes) ?? bytes;
}

/** Values are bytes, so they are in hex. */
function xattrsJson(pairs: readonly XattrPair[]): object {
  return Object.fromEntries(pairs.map(([name, value]) => [text(name), hexOf(bytesOf(value))]));
}
