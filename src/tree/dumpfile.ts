import { isUtf8 } from "node:buffer";
import { type ByteString, compareBytes, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../mode.ts";
import { type Algorithm, type ObjectId, parseObjectId } from "../verity/digest.ts";
import {
  type Content,
  type Directory,
  directory,
  type Leaf,
  leaf,
  NO_XATTRS,
  type Node,
  type Stat,
  type Xattrs,
} from "./model.ts";
import { type PlainLine, PlainLineReader } from "./plain-line.ts";
import { findNode, lookupDirectory } from "./walk.ts";

/** Longest line that is accepted; far above what an image can hold for one file. */
const MAX_LINE_BYTES = 64 << 20;
const MAX_PATH = 4096;
const MAX_SYMLINK = 4095;
/** As in `mkcomposefs`: `LCFS_BUILD_INLINE_FILE_SIZE_LIMIT` is smaller, this is the most that is accepted. */
const MAX_INLINE = 5000;
const MAX_XATTR_NAME = 255;
const MAX_XATTR_VALUE = 65535;
const MAX_XATTR_NAMES = 65535;

/**
 * Reads a composefs dumpfile (composefs-dump(5)): one line per file, its fields separated by one space.
 *
 * Feed bytes with `push`, in pieces of any size, then call `finish` once. Memory is bounded by the tree and one line.
 * Errors name the line. Besides what composefs-dump(5) says, negative seconds are accepted.
 */
export class DumpfileParser {
  readonly #algorithm: Algorithm;
  readonly #anyPaths: boolean;
  readonly #plainLines: PlainLineReader;
  #carry: Uint8Array[] = [];
  #carrySize = 0;
  #line = 0;
  #root: Directory | undefined;
  readonly #leaves: Leaf[] = [];
  /** A line replaced an earlier entry, which may have left files that nothing refers to. */
  #replaced = false;
  /** Files that lost their name that way: hard links may still refer to them by it. */
  readonly #detached = new Map<ByteString, Leaf>();
  #directories = new Map<ByteString, Directory>();
  #lastParentPath: ByteString | undefined;
  #lastParent: Directory | undefined;
  /** The xattr part of lines seen before: most trees repeat a few of them. */
  readonly #xattrs = new Map<string, Xattrs>();
  #timeText: string | undefined;
  #time: { mtime: bigint; mtimeNsec: number } = { mtime: 0n, mtimeNsec: 0 };

  /** @param options `anyPaths`: files may have their data at any path, not only at that of an object. */
  constructor(algorithm: Algorithm, options: { readonly anyPaths?: boolean } = {}) {
    this.#algorithm = algorithm;
    this.#plainLines = new PlainLineReader(algorithm);
    this.#anyPaths = options.anyPaths ?? false;
  }

  /** @throws CfsError Invalid, with the number of the line. */
  push(chunk: Uint8Array): void {
    const end = chunk.lastIndexOf(0x0a) + 1;
    if (end === 0) {
      this.#keep(chunk);
      return;
    }
    if (this.#carrySize === 0) {
      this.#parseLines(chunk.subarray(0, end));
    } else {
      const first = chunk.indexOf(0x0a) + 1;
      this.#keep(chunk.subarray(0, first));
      this.#flush();
      this.#parseLines(chunk.subarray(first, end));
    }
    if (end < chunk.length) this.#keep(chunk.subarray(end));
  }

  /**
   * The tree.
   * @throws CfsError Invalid when the last line is wrong, the file is empty, or a replaced entry left orphans.
   */
  finish(): Directory {
    this.#flush();
    if (this.#root === undefined) {
      throw new CfsError("Invalid", "Dumpfile is empty, expected root directory entry");
    }
    if (this.#replaced) refuseOrphans(this.#root, this.#leaves);
    return this.#root;
  }

  #keep(bytes: Uint8Array): void {
    this.#carrySize += bytes.length;
    if (this.#carrySize > MAX_LINE_BYTES) {
      throw new CfsError("Invalid", `dumpfile line ${this.#line + 1} is longer than ${MAX_LINE_BYTES} bytes`);
    }
    // Not `slice`: on a Buffer that is a view of memory that the caller may use again.
    this.#carry.push(new Uint8Array(bytes));
  }

  #flush(): void {
    if (this.#carrySize === 0) return;
    const bytes = Buffer.concat(this.#carry);
    this.#carry = [];
    this.#carrySize = 0;
    this.#parseLines(bytes);
  }

  /** @param bytes whole lines. */
  #parseLines(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).latin1Slice();
    if (!isUtf8(bytes)) {
      // Lines before the faulty one may be wrong too, but none of them is worth reporting first.
      throw new CfsError("Invalid", "stream did not contain valid UTF-8");
    }
    for (let start = 0; start < text.length; ) {
      const plain = this.#root === undefined ? undefined : this.#plainLines.read(text, start);
      if (plain !== undefined && this.#addPlain(plain)) {
        this.#line++;
        start = this.#plainLines.end;
        continue;
      }
      let end = text.indexOf("\n", start);
      if (end < 0) end = text.length;
      const next = end + 1;
      if (end > start && text.charCodeAt(end - 1) === CARRIAGE_RETURN) end--;
      this.#line++;
      const line = text.slice(start, end);
      start = next;
      if (line.charCodeAt(0) !== SLASH && line.trim() === "") continue;
      try {
        this.#addLine(line);
      } catch (error) {
        throw new CfsError("Invalid", `dumpfile line ${this.#line}`, {
          cause: error instanceof LineError ? asLineError(line, error) : error,
          data: { line: this.#line },
        });
      }
    }
  }

  /** @returns false for what takes a closer look, also if only to say what is wrong. */
  #addPlain({ path, size, type, stat, payload, digest, xattrs }: PlainLine): boolean {
    const slash = path.lastIndexOf("/");
    const name = path.slice(slash + 1);
    if (name === "" || name === "." || name === "..") return false;
    const parent = this.#knownDirectory(path.slice(0, slash));
    const known = xattrs === undefined ? NO_XATTRS : this.#xattrs.get(xattrs);
    if (parent === undefined || known === undefined) return false;
    const ownStat = known === NO_XATTRS ? stat : { ...stat, xattrs: known };
    let node: Node;
    if (type === S_IFREG) {
      if ((payload === "-") !== (digest === "-")) return false;
      node = this.#leaf(ownStat, this.#plainContent(payload, digest as ObjectId, size));
    } else if (digest !== "-") {
      return false;
    } else if (type === S_IFDIR) {
      node = directory(ownStat);
    } else if (type === S_IFLNK && payload !== "-") {
      node = this.#leaf(ownStat, { type: "symlink", target: payload });
    } else {
      return false;
    }
    this.#insert(parent, path, name, node);
    return true;
  }

  #plainContent(payload: ByteString, digest: ObjectId, size: number): Content {
    if (size === 0 && (this.#anyPaths || payload === "-")) return EMPTY_FILE;
    const exact = BigInt(size);
    if (payload === "-") return { type: "sparse", size: exact };
    if (this.#anyPaths && !isPathOf(payload, digest))
      return { type: "backed", path: payload, id: digest, size: exact };
    return { type: "external", id: digest, size: exact };
  }

  #addLine(line: string): void {
    const fields = line.split(" ");
    const path = parsePath(fields[0]!);
    if (this.#root === undefined && path !== "/") {
      // The line itself must be right before its place is judged.
      this.#parseNode(fields);
      throw new CfsError(
        "Invalid",
        `Dumpfile must start with root directory entry, found: "${display(path)}"`,
      );
    }
    const node = this.#parseNode(fields);
    if (path === "/") {
      const stat = node === undefined ? { ...defaultHardLinkStat } : node.stat;
      if (this.#root === undefined) this.#root = directory(stat);
      else this.#root.stat = stat;
      return;
    }
    const slash = path.lastIndexOf("/");
    const parent = this.#directoryAt(path.slice(0, slash));
    this.#insert(parent, path, path.slice(slash + 1), node ?? this.#linkTarget(fields));
  }

  #insert(parent: Directory, path: ByteString, name: ByteString, node: Node): void {
    const { entries } = parent;
    const old = entries.get(name);
    entries.set(name, node);
    if (old !== undefined) {
      this.#replaced = true;
      for (const [at, file] of filesBelow(old, path)) this.#detached.set(at, file);
      this.#directories = new Map();
      this.#lastParentPath = undefined;
    }
    if (node.kind === "directory") this.#directories.set(path, node);
  }

  #directoryAt(path: ByteString): Directory {
    const known = this.#knownDirectory(path);
    if (known !== undefined) return known;
    try {
      const found = lookupDirectory(this.#root!, path);
      this.#directories.set(path, found);
      return found;
    } catch (cause) {
      throw new CfsError("Invalid", `Parent directory not found: "${display(path)}"`, { cause });
    }
  }

  /** Undefined also for a directory whose line wrote its path in another way. */
  #knownDirectory(path: ByteString): Directory | undefined {
    if (path === this.#lastParentPath) return this.#lastParent;
    const found = path === "" ? this.#root : this.#directories.get(path);
    if (found === undefined) return undefined;
    this.#lastParentPath = path;
    this.#lastParent = found;
    return found;
  }

  #linkTarget(fields: readonly string[]): Leaf {
    const target = parsePath(fields[8]!);
    const notFound = () => new CfsError("Invalid", `Hardlink target not found: "${display(target)}"`);
    let found: Node | undefined;
    try {
      found = findNode(this.#root!, target);
    } catch {
      // The way there is gone; a line may have named the file before that.
    }
    if (found?.kind !== "leaf") found = this.#detached.get(target);
    if (found === undefined) throw notFound();
    return found;
  }

  /** The node that a line describes; undefined for a hard link. */
  #parseNode(fields: readonly string[]): Node | undefined {
    const size = parseUnsigned(field(fields, 1, "size"), U64);
    const modeText = field(fields, 2, "mode");
    const at = modeText.indexOf("@");
    if (at >= 0) {
      for (const [i, what] of HARD_LINK_FIELDS) field(fields, i, what);
      const mode = parseOctal(modeText.slice(at + 1));
      if ((mode & S_IFMT) === S_IFDIR) throw new LineError("Invalid hardlinked directory");
      const payload = field(fields, 8, "payload");
      if (payload === "-") throw new LineError("Missing payload");
      parsePath(payload);
      return undefined;
    }
    const mode = parseOctal(modeText);
    const nlink = parseSmall(field(fields, 3, "nlink"));
    const uid = parseSmall(field(fields, 4, "uid"));
    const gid = parseSmall(field(fields, 5, "gid"));
    const rdev = parseUnsigned(field(fields, 6, "rdev"), U64);
    const time = this.#parseTime(field(fields, 7, "mtime"));
    const payload = field(fields, 8, "payload");
    const content = field(fields, 9, "content");
    const digest = field(fields, 10, "digest");
    const xattrs = fields.length === 11 ? NO_XATTRS : this.#parseXattrs(fields.slice(11).join(" "));
    const stat: Stat = {
      mode: mode & 0o7777,
      uid,
      gid,
      mtime: time.mtime,
      mtimeNsec: time.mtimeNsec,
      xattrs,
    };

    const type = mode & S_IFMT;
    if (type !== S_IFCHR && type !== S_IFBLK && TYPES.has(type) && rdev !== 0n) {
      throw new LineError(`entry cannot have device (rdev) ${rdev}`);
    }
    if (type === S_IFREG) return this.#leaf(stat, this.#regularContent(payload, content, digest, size));
    if (!TYPES.has(type)) throw new LineError(`Unhandled file type from raw mode: ${mode}`);
    if (content !== "-") throw new LineError("entry cannot have content");
    if (digest !== "-") throw new LineError("entry cannot have fsverity digest");
    switch (type) {
      case S_IFDIR:
        refuseWrongTime(time);
        return directory(stat);
      case S_IFLNK:
        return this.#leaf(stat, { type: "symlink", target: parseTarget(payload) });
      case S_IFCHR:
        if (rdev === 0n && nlink > 1) {
          throw new CfsError(
            "Invalid",
            `invalid dumpfile: whiteout entry "${display(parsePath(fields[0]!))}" has nlink > 1`,
          );
        }
        return this.#leaf(stat, { type: "char", rdev });
      case S_IFBLK:
        return this.#leaf(stat, { type: "block", rdev });
      case S_IFIFO:
        return this.#leaf(stat, { type: "fifo" });
      default:
        return this.#leaf(stat, { type: "socket" });
    }
  }

  #leaf(stat: Stat, content: Content): Leaf {
    refuseWrongTime(stat);
    const node = leaf(stat, content);
    this.#leaves.push(node);
    return node;
  }

  #regularContent(payload: string, content: string, digest: string, size: bigint): Content {
    if (payload !== "-") {
      const path = decodeEscapes(payload, MAX_PATH + 1);
      if (path === "") throw new LineError("Invalid empty path");
      if (path.includes("\0")) throw new LineError("Invalid embedded NUL");
      if (path.length > MAX_PATH) throw new LineError(`Path is too long: ${path.length} bytes`);
      if (this.#anyPaths) return this.#backedContent(path, digest, size);
      if (digest !== "-") return { type: "external", id: parseObjectId(digest, this.#algorithm), size };
      return { type: "external-no-verity", id: parseObjectPath(path, this.#algorithm), size };
    }
    if (digest !== "-") throw new LineError("Inline file cannot have fsverity digest");
    if (content !== "-" && content !== "") {
      return { type: "inline", data: decodeEscapes(content, MAX_INLINE) };
    }
    return size === 0n ? EMPTY_FILE : { type: "sparse", size };
  }

  /** As `mkcomposefs` of composefs 1.0 takes it. */
  #backedContent(path: ByteString, digest: string, size: bigint): Content {
    if (size === 0n) return EMPTY_FILE;
    const id = digest === "-" ? undefined : parseObjectId(digest, this.#algorithm);
    if (id !== undefined && isPathOf(path, id)) return { type: "external", id, size };
    if (id === undefined && isObjectPath(path, this.#algorithm))
      return { type: "external-no-verity", id: parseObjectPath(path, this.#algorithm), size };
    return { type: "backed", path, id, size };
  }

  #parseTime(text: string): { mtime: bigint; mtimeNsec: number } {
    if (text === this.#timeText) return this.#time;
    const dot = text.indexOf(".");
    if (dot < 0) throw new LineError("Missing . in mtime");
    const negative = text.charCodeAt(0) === MINUS;
    const seconds = parseUnsigned(text.slice(negative ? 1 : 0, dot), negative ? NEGATIVE_TIME : U64);
    const nsec = parseUnsigned(text.slice(dot + 1), U64);
    this.#time = {
      mtime: negative ? -seconds : BigInt.asIntN(64, seconds),
      mtimeNsec: Number(nsec),
    };
    this.#timeText = text;
    return this.#time;
  }

  #parseXattrs(text: string): Xattrs {
    const known = this.#xattrs.get(text);
    if (known !== undefined) return known;
    const pairs: [ByteString, ByteString][] = [];
    let names = 0;
    for (const item of text.split(" ")) {
      const equals = item.indexOf("=");
      if (equals < 0) throw new LineError("Missing = in xattrs");
      const key = decodeEscapes(item.slice(0, equals), Number.POSITIVE_INFINITY);
      if (key.includes("\0")) throw new LineError("Invalid embedded NUL");
      if (key.length > MAX_XATTR_NAME) {
        throw new LineError(`xattr name too long; max=${MAX_XATTR_NAME} found=${key.length}`);
      }
      const value = decodeEscapes(item.slice(equals + 1), Number.POSITIVE_INFINITY);
      if (value.length > MAX_XATTR_VALUE) {
        throw new LineError(`xattr value too long; max=${MAX_XATTR_VALUE} found=${value.length}`);
      }
      names += key.length;
      if (names > MAX_XATTR_NAMES) throw new LineError("Too many xattrs");
      pairs.push([key, value]);
    }
    pairs.sort((a, b) => compareBytes(a[0], b[0]) || compareBytes(a[1], b[1]));
    const xattrs = new Map(pairs);
    this.#xattrs.set(text, xattrs);
    return xattrs;
  }
}

/**
 * The tree of a whole dumpfile in memory.
 * @throws CfsError Invalid, with the number of the line.
 */
export function parseDumpfile(bytes: Uint8Array, algorithm: Algorithm): Directory {
  const parser = new DumpfileParser(algorithm);
  parser.push(bytes);
  return parser.finish();
}

const SLASH = 0x2f;
const MINUS = 0x2d;
const CARRIAGE_RETURN = 0x0d;
const U64 = 0xffffffffffffffffn;
const NEGATIVE_TIME = 0x8000000000000000n;
const TYPES = new Set([S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK]);
const EMPTY_FILE: Content = { type: "inline", data: "" };
const HARD_LINK_FIELDS: readonly [number, string][] = [
  [3, "nlink"],
  [4, "uid"],
  [5, "gid"],
  [6, "rdev"],
  [7, "mtime"],
];
/** Metadata that a hard-link line gives when it stands for the root. */
const defaultHardLinkStat: Stat = { mode: 0, uid: 0, gid: 0, mtime: 0n, mtimeNsec: 0, xattrs: NO_XATTRS };

/** A fault in the text of one line, as opposed to its place in the tree. */
class LineError extends Error {}

function asLineError(line: string, error: LineError): CfsError {
  return new CfsError("Invalid", `Failed to parse dumpfile line: ${display(line)}`, {
    cause: new CfsError("Invalid", error.message),
  });
}

function field(fields: readonly string[], index: number, what: string): string {
  const text = fields[index];
  if (text === undefined) throw new LineError(`Missing ${what}`);
  return text;
}

/** Decimal digits after an optional plus sign. */
function parseUnsigned(text: string, max: bigint): bigint {
  if (text === "0") return 0n;
  const value = BigInt(digitsOf(text, /^\+?[0-9]+$/));
  if (value > max) throw new LineError("number too large to fit in target type");
  return value;
}

/** The same for 32-bit numbers. */
function parseSmall(text: string): number {
  if (text.length === 1) {
    const digit = text.charCodeAt(0) - 0x30;
    if (digit >= 0 && digit <= 9) return digit;
  }
  const value = Number(digitsOf(text, /^\+?[0-9]+$/));
  if (value > 0xffffffff) throw new LineError("number too large to fit in target type");
  return value;
}

function parseOctal(text: string): number {
  const value = Number.parseInt(digitsOf(text, /^\+?[0-7]+$/), 8);
  if (value > 0xffffffff) throw new LineError("number too large to fit in target type");
  return value;
}

function digitsOf(text: string, pattern: RegExp): string {
  if (text === "") throw new LineError("cannot parse integer from empty string");
  if (!pattern.test(text)) throw new LineError("invalid digit found in string");
  return text.charCodeAt(0) === 0x2b ? text.slice(1) : text;
}

function refuseWrongTime(time: { mtimeNsec: number }): void {
  if (time.mtimeNsec >= 1_000_000_000) {
    throw new CfsError("Invalid", `Invalid mtime nanoseconds: ${time.mtimeNsec} (must be < 1_000_000_000)`);
  }
}

/** An absolute path without empty, `.` and `..` components. */
function parsePath(text: string): ByteString {
  const path = decodeEscapes(text, Number.POSITIVE_INFINITY);
  if (path === "") throw new LineError("Invalid empty path");
  if (path.charCodeAt(0) !== SLASH) throw new LineError("Invalid non-absolute path");
  if (path.includes("\0")) throw new LineError("Invalid embedded NUL");
  if (path.length > MAX_PATH) throw new LineError(`Path is too long: ${path.length} bytes`);
  if (path !== "/" && /\/\.{0,2}(?:\/|$)/.test(path)) {
    for (const component of path.slice(1).split("/")) {
      if (component === "") throw new LineError("Empty path component (// or trailing /)");
      if (component === "." || component === "..") {
        throw new LineError(`Invalid path component '${component}'`);
      }
    }
  }
  return path;
}

function parseTarget(payload: string): ByteString {
  if (payload === "-") throw new LineError("Missing payload");
  const target = decodeEscapes(payload, Number.POSITIVE_INFINITY);
  if (target === "") throw new LineError("Invalid empty path");
  if (target.includes("\0")) throw new LineError("Invalid embedded NUL");
  if (target.length > MAX_PATH) throw new LineError(`Path is too long: ${target.length} bytes`);
  if (target.length > MAX_SYMLINK) {
    throw new LineError(`Symlink target length ${target.length} exceeds limit ${MAX_SYMLINK}`);
  }
  return target;
}

/** Whether a path is the one of this object, without making that. */
function isPathOf(path: ByteString, id: ObjectId): boolean {
  return (
    path.length === id.length + 1 &&
    path[2] === "/" &&
    path.startsWith(id.slice(0, 2)) &&
    path.endsWith(id.slice(2))
  );
}

/** Whether a path is the one that some object has in its directory. */
function isObjectPath(path: ByteString, { size }: Algorithm): boolean {
  return path.length === 2 * size + 1 && /^[0-9a-f]{2}\/[0-9a-f]+$/.test(path);
}

/**
 * The object that the end of a path (`…xx/rest`) names.
 * @throws CfsError Invalid.
 */
export function parseObjectPath(path: ByteString, algorithm: Algorithm): ObjectId {
  const tail = path.slice(-(algorithm.size * 2 + 1));
  if (tail.length !== algorithm.size * 2 + 1) {
    throw new CfsError("Invalid", "invalid object pathname: Invalid string length");
  }
  if (tail[2] !== "/") {
    throw new CfsError(
      "Invalid",
      `invalid object pathname: Invalid character '${display(tail[2]!)}' at position 2`,
    );
  }
  try {
    return parseObjectId(tail.slice(0, 2) + tail.slice(3), algorithm);
  } catch (error) {
    throw new CfsError("Invalid", `invalid object pathname: ${(error as Error).message}`);
  }
}

const NAMED_ESCAPES: Readonly<Record<string, string>> = { "\\": "\\", n: "\n", r: "\r", t: "\t" };

/** Takes the escapes out; `max` is in bytes of the result. */
function decodeEscapes(text: string, max: number): ByteString {
  let backslash = text.indexOf("\\");
  if (backslash < 0) {
    if (text.length > max) throw new LineError(`Input ${text.length} exceeded maximum length ${max}`);
    return text;
  }
  let out = "";
  let done = 0;
  while (backslash >= 0) {
    out += text.slice(done, backslash);
    const c = text[backslash + 1];
    if (c === undefined) throw new LineError("Unterminated escape");
    if (c === "x") {
      const hex = text.slice(backslash + 2, backslash + 4);
      if (hex.length < 2) throw new LineError("Unterminated hex escape");
      if (!/^[0-9a-fA-F]{2}$/.test(hex)) throw new LineError(`Invalid hex escape ${display(hex)}`);
      out += String.fromCharCode(Number.parseInt(hex, 16));
      done = backslash + 4;
    } else {
      const value = NAMED_ESCAPES[c];
      if (value === undefined) throw new LineError(`Invalid escape ${display(c)}`);
      out += value;
      done = backslash + 2;
    }
    backslash = text.indexOf("\\", done);
  }
  out += text.slice(done);
  if (out.length > max) throw new LineError(`Input exceeded maximum length ${max}`);
  return out;
}

function* filesBelow(node: Node, path: ByteString): Generator<[ByteString, Leaf]> {
  const pending: [Node, ByteString][] = [[node, path]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [at, atPath] = next;
    if (at.kind === "leaf") yield [atPath, at];
    else for (const [name, child] of at.entries) pending.push([child, `${atPath}/${name}`]);
  }
}

/** Files whose only entry was replaced by a later line; their numbers count files in the order of their lines. */
function refuseOrphans(root: Directory, leaves: readonly Leaf[]): void {
  const reached = new Set<Leaf>();
  const pending = [root];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const node of next.entries.values()) {
      if (node.kind === "directory") pending.push(node);
      else reached.add(node);
    }
  }
  const orphans = leaves.flatMap((l, i) => (reached.has(l) ? [] : [i]));
  if (orphans.length > 0) {
    throw new CfsError(
      "Invalid",
      `invalid composefs filesystem: Orphaned leaves at indices [${orphans.join(", ")}]`,
    );
  }
}
