import { type ByteString, byteString, bytesOf, display, toText } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { S_IFDIR } from "../mode.ts";
import { CHECKSUM_SIZE, type Checksum, checksumBytes, checksumOf } from "./checksum.ts";
import { dirTreeName, visitDirTree } from "./dirtree-reader.ts";
import { readGVariant, type Value, type Variant, writeGVariant } from "./gvariant.ts";

/** Kinds of objects by their numbers in static deltas, as `OstreeObjectType` in libostree's ostree-core.h. */
export const OBJECT_TYPES = { file: 1, dirtree: 2, dirmeta: 3, commit: 4 } as const;

/** Objects that are stored as they are hashed. */
export type MetadataType = "commit" | "dirtree" | "dirmeta";
export type ObjectType = MetadataType | "file";

/** libostree takes no larger ones (OSTREE_MAX_METADATA_SIZE). */
export const MAX_METADATA_SIZE = 128 * 1024 * 1024;

const COMMIT = "(a{sv}aya(say)sstayay)";
const DIRTREE = "(a(say)a(sayay))";
const DIRMETA = "(uuua(ayay))";
const MAX_NAME = 255;

export interface Commit {
  /** In stored order. Values inside are of the byte order of the machine that wrote them. */
  readonly metadata: readonly (readonly [key: string, value: Variant])[];
  readonly parent: Checksum | undefined;
  /** Never used by anybody, but part of the format. */
  readonly related: readonly (readonly [name: string, commit: Checksum])[];
  readonly subject: string;
  readonly body: string;
  /** Seconds since 1970, unsigned 64-bit. */
  readonly timestamp: bigint;
  readonly rootTree: Checksum;
  readonly rootMeta: Checksum;
}

export interface FileEntry {
  readonly name: ByteString;
  readonly file: Checksum;
}

export interface DirectoryEntry {
  readonly name: ByteString;
  readonly tree: Checksum;
  readonly meta: Checksum;
}

/** The names in a directory: files and symbolic links, and directories. */
export interface DirTree {
  readonly files: readonly FileEntry[];
  readonly directories: readonly DirectoryEntry[];
}

/** Name, as a rule with a NUL at its end, and value. */
export type XattrPair = readonly [name: ByteString, value: ByteString];

export interface DirMeta {
  readonly uid: number;
  readonly gid: number;
  /** With S_IFDIR. */
  readonly mode: number;
  readonly xattrs: readonly XattrPair[];
}

/** @throws CfsError Corrupt when it is no commit in normal form, or a checksum in it has the wrong length. */
export function parseCommit(bytes: Uint8Array): Commit {
  const [metadata, parent, related, subject, body, timestamp, rootTree, rootMeta] = read(
    "commit",
    COMMIT,
    bytes,
  ) as [Value[], Uint8Array, [string, Uint8Array][], string, string, bigint, Uint8Array, Uint8Array];
  return {
    metadata: metadata as unknown as [string, Variant][],
    parent: parent.length === 0 ? undefined : checksumField(parent, "the parent of the commit"),
    related: related.map(([name, commit]) => [name, checksumField(commit, `the related commit ${name}`)]),
    subject,
    body,
    timestamp: swap64(timestamp),
    rootTree: checksumField(rootTree, "the root directory of the commit"),
    rootMeta: checksumField(rootMeta, "the root directory's metadata in the commit"),
  };
}

export function encodeCommit(commit: Commit): Uint8Array<ArrayBuffer> {
  return writeGVariant(COMMIT, [
    commit.metadata,
    commit.parent === undefined ? NOTHING : checksumBytes(commit.parent),
    commit.related.map(([name, id]) => [name, checksumBytes(id)]),
    commit.subject,
    commit.body,
    swap64(commit.timestamp),
    checksumBytes(commit.rootTree),
    checksumBytes(commit.rootMeta),
  ]);
}

/**
 * @throws CfsError Corrupt when it is no dirtree in normal form, a name can't be one of a file or is there twice, or
 * a checksum has the wrong length. The order of the names is not looked at.
 */
export function parseDirTree(bytes: Uint8Array): DirTree {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const files: FileEntry[] = [];
  const directories: DirectoryEntry[] = [];
  const names = new Set<ByteString>();
  const newName = (start: number, end: number) => {
    const name = readEntryName(buffer, start, end);
    if (names.has(name)) throw entryTwice(name);
    names.add(name);
    return name;
  };
  const checksum = (start: number) => buffer.hexSlice(start, start + CHECKSUM_SIZE) as Checksum;
  try {
    visitDirTree(buffer, 0, buffer.length, {
      file(start, end, file) {
        files.push({ name: newName(start, end), file: checksum(file) });
      },
      directory(start, end, tree, meta) {
        directories.push({ name: newName(start, end), tree: checksum(tree), meta: checksum(meta) });
      },
    });
  } catch (error) {
    throw withContext("dirtree", error);
  }
  return { files, directories };
}

/** A name in a dirtree. @throws CfsError Corrupt when no file can have it. */
export function readEntryName(buffer: Buffer, start: number, end: number): ByteString {
  const name = dirTreeName(buffer, start, end);
  if (name === "") throw invalidName(name, "is empty");
  if (name === "." || name === ".." || name.includes("/")) throw invalidName(name, "can't be that of a file");
  if (name.length > MAX_NAME) throw invalidName(name, `has more than ${MAX_NAME} bytes`);
  return name;
}

/** The error for a name that a dirtree has twice. */
export function entryTwice(name: ByteString): CfsError {
  return invalidName(name, "is there twice");
}

/** Sorts by name, as ostree does. @throws CfsError Unsupported for a name that is not UTF-8. */
export function encodeDirTree({ files, directories }: DirTree): Uint8Array<ArrayBuffer> {
  return writeGVariant(DIRTREE, [
    [...files].sort(byName).map(({ name, file }) => [nameText(name), checksumBytes(file)]),
    [...directories]
      .sort(byName)
      .map(({ name, tree, meta }) => [nameText(name), checksumBytes(tree), checksumBytes(meta)]),
  ]);
}

/** @throws CfsError Corrupt when it is no dirmeta in normal form, or not that of a directory. */
export function parseDirMeta(bytes: Uint8Array): DirMeta {
  const meta = parseInodeMeta(bytes);
  if ((meta.mode & ~0o7777) !== S_IFDIR)
    throw new CfsError("Corrupt", `dirmeta: mode 0${meta.mode.toString(8)} is not that of a directory`);
  return meta;
}

/** As `parseDirMeta`, for any type of file: what `user.ostreemeta` holds in repositories of mode bare-user. */
export function parseInodeMeta(bytes: Uint8Array): DirMeta {
  const [uid, gid, mode, xattrs] = read("dirmeta", DIRMETA, bytes) as [number, number, number, Value];
  return {
    uid: swap32(uid),
    gid: swap32(gid),
    mode: swap32(mode),
    xattrs: xattrPairs(xattrs, "dirmeta"),
  };
}

export function encodeDirMeta({ uid, gid, mode, xattrs }: DirMeta): Uint8Array<ArrayBuffer> {
  return writeGVariant(DIRMETA, [swap32(uid), swap32(gid), swap32(mode), xattrValue(xattrs)]);
}

/** A list of xattrs alone, `a(ayay)`: an object of its own in repositories of mode bare-split-xattrs. */
export function parseXattrs(bytes: Uint8Array): XattrPair[] {
  return xattrPairs(read("list of extended attributes", "a(ayay)", bytes), "list of extended attributes");
}

/** @param what for messages. @throws CfsError Corrupt for names twice or not in order. */
export function xattrPairs(value: Value, what: string): XattrPair[] {
  const pairs = (value as readonly [Uint8Array, Uint8Array][]).map(
    ([name, content]): XattrPair => [byteString(name), byteString(content)],
  );
  for (let i = 1; i < pairs.length; i++) {
    if (pairs[i]![0] <= pairs[i - 1]![0])
      throw new CfsError("Corrupt", `${what}: the extended attributes are not in order`);
  }
  for (const [name] of pairs) {
    const bare = name.endsWith("\0") ? name.slice(0, -1) : name;
    if (bare === "" || bare.includes("\0"))
      throw new CfsError("Corrupt", `${what}: '${display(name)}' can't be the name of an extended attribute`);
  }
  return pairs;
}

export function xattrValue(xattrs: readonly XattrPair[]): Value {
  return xattrs.map(([name, value]) => [bytesOf(name), bytesOf(value)]);
}

/** The bytes of a number in the other order. */
export function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | ((value >>> 24) & 0xff)) >>> 0;
}

/** As `swap32`, for unsigned 64 bits. */
export function swap64(value: bigint): bigint {
  const high = BigInt(swap32(Number(value & 0xffffffffn)));
  return (high << 32n) | BigInt(swap32(Number(value >> 32n)));
}

const NOTHING = new Uint8Array(0);

function read(what: string, signature: string, bytes: Uint8Array): Value {
  try {
    return readGVariant(signature, bytes);
  } catch (error) {
    throw withContext(what, error);
  }
}

function checksumField(bytes: Uint8Array, what: string): Checksum {
  if (bytes.length !== CHECKSUM_SIZE)
    throw new CfsError("Corrupt", `${what} has ${bytes.length} bytes instead of ${CHECKSUM_SIZE}`);
  return checksumOf(bytes);
}

function invalidName(name: ByteString, why: string): CfsError {
  return new CfsError("Corrupt", `the name '${display(name)}' ${why}`);
}

function byName(a: { name: ByteString }, b: { name: ByteString }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function nameText(name: ByteString): string {
  const text = toText(name);
  if (text === undefined)
    throw new CfsError("Unsupported", `the name '${display(name)}' is not UTF-8, which ostree demands`);
  return text;
}
