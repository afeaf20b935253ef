import { type ByteString, bytesOf, toText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { Checksum } from "./checksum.ts";
import type { CommitTable } from "./commit-table.ts";
import { hexOf } from "./commit-text.ts";
import { archiveHeaderLength, isSymlink, PREFIX_SIZE, parseArchiveHeader } from "./file-header.ts";
import {
  type Commit,
  type ObjectType,
  parseCommit,
  parseDirMeta,
  parseDirTree,
  type XattrPair,
} from "./objects.ts";
import { type Part, type Subpaths, selectEntries } from "./subpaths.ts";

/** The commit object of a table. @throws CfsError Corrupt */
export function commitOfTable(table: CommitTable): Commit {
  return parseCommit(dataOf(table, table.commit));
}

/**
 * What each object of a commit is, which the table itself does not say. Objects that nothing refers to are missing.
 * @param subpaths of a commit that is there in part.
 */
export function objectTypes(table: CommitTable, subpaths?: Subpaths): Map<Checksum, ObjectType> {
  const types = new Map<Checksum, ObjectType>([[table.commit, "commit"]]);
  const { rootTree, rootMeta } = commitOfTable(table);
  types.set(rootMeta, "dirmeta");
  types.set(rootTree, "dirtree");
  const pending: { tree: Checksum; part: Part }[] = [{ tree: rootTree, part: subpaths?.top ?? "all" }];
  /** Directories that have been looked at as a whole. */
  const done = new Set<Checksum>();
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next.part === "all") {
      if (done.has(next.tree)) continue;
      done.add(next.tree);
    }
    const { files, directories } = selectEntries(parseDirTree(dataOf(table, next.tree)), next.part);
    for (const { file } of files) types.set(file, "file");
    for (const { tree, meta, part } of directories) {
      types.set(meta, "dirmeta");
      types.set(tree, "dirtree");
      pending.push({ tree, part });
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
