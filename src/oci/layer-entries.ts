import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { ObjectIdTable } from "../splitstream/format.ts";
import { pread, pwriteAll } from "../sys/file.ts";
import { emptyEntry, type SparseRun, type TarEntry, type TarType } from "../tar/entry.ts";
import { NO_XATTRS } from "../tree/model.ts";
import type { ObjectId } from "../verity/digest.ts";

/** What an entry of a layer holds besides its metadata. */
export type LayerContent =
  | { readonly type: "inline"; readonly data: ByteString }
  | { readonly type: "object"; readonly id: ObjectId; readonly size: number };

/** One entry of a layer, ready to be put into a tree. Producers may use the same object for the next one. */
export interface LayerEntry {
  readonly entry: TarEntry;
  /** Of regular files only. */
  readonly content: LayerContent | undefined;
}

const TYPES: readonly TarType[] = [
  "file",
  "hardlink",
  "symlink",
  "char",
  "block",
  "directory",
  "fifo",
  "other",
];

const FIXED_SIZE = 52;
const EXTERNAL = 1;
const HAS_RDEV = 2;
const HAS_SPARSE = 4;
const RUNS_IN_BODY = 0xffffffff;

const BUFFER_SIZE = 256 * 1024;
/** Longer than any entry: names, links and xattrs come from at most 1 MiB of headers. */
const MAX_ENTRY = 16 * 1024 * 1024;

/** Packed entries in a file without a name, which any thread of the process may read. */
export interface PackedEntries {
  readonly fd: number;
  /** Bytes. */
  readonly length: number;
}

/**
 * Packs the entries of a layer into a file through which they get from the thread that split the layer to the one
 * that builds the tree. External bodies are not named: they are numbered in stream order.
 */
export class LayerEntryWriter {
  readonly #fd: number;
  #written = 0;
  #buffer = Buffer.from(new ArrayBuffer(BUFFER_SIZE));
  #at = 0;

  /** @param fd a file for reading and writing; the caller closes it. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** @param body the bytes of a regular file that is kept inline; undefined when it is external. */
  add(entry: TarEntry, body: Uint8Array<ArrayBufferLike> | undefined): void {
    const inlineSize = entry.type === "file" && body !== undefined ? body.length : 0;
    const packedSize = packedSizeOf(entry, inlineSize);
    this.#reserve(packedSize);
    const buffer = this.#buffer;
    const start = this.#at;
    buffer.writeUInt32LE(packedSize, start + 48);
    const isExternal = entry.type === "file" && body === undefined;
    buffer[start] = TYPES.indexOf(entry.type);
    buffer[start + 1] =
      (isExternal ? EXTERNAL : 0) |
      (entry.rdev !== undefined ? HAS_RDEV : 0) |
      (entry.sparse !== undefined ? HAS_SPARSE : 0);
    buffer[start + 2] = entry.typeflag;
    buffer.writeUInt32LE(entry.mode, start + 4);
    buffer.writeUInt32LE(entry.uid, start + 8);
    buffer.writeUInt32LE(entry.gid, start + 12);
    buffer.writeBigInt64LE(entry.mtime, start + 16);
    buffer.writeUInt32LE(entry.mtimeNsec, start + 24);
    buffer.writeUInt32LE(entry.xattrs.size, start + 28);
    buffer.writeUInt32LE(entry.path.length, start + 32);
    buffer.writeUInt32LE(entry.linkName.length, start + 36);
    buffer.writeDoubleLE(entry.size, start + 40);
    let at = start + FIXED_SIZE;
    at += buffer.latin1Write(entry.path, at);
    at += buffer.latin1Write(entry.linkName, at);
    if (entry.rdev !== undefined) at = buffer.writeBigUInt64LE(BigInt.asUintN(64, entry.rdev), at);
    if (inlineSize > 0) {
      buffer.set(body!, at);
      at += inlineSize;
    }
    this.#at = at;
    for (const [name, value] of entry.xattrs) {
      this.#string(name);
      this.#string(value);
    }
    if (entry.sparse !== undefined) this.#sparse(entry.sparse.realSize, entry.sparse.runs);
  }

  /** To be called once, at the end. */
  finish(): PackedEntries {
    this.#flush();
    return { fd: this.#fd, length: this.#written };
  }

  #string(text: ByteString): void {
    this.#at = this.#buffer.writeUInt32LE(text.length, this.#at);
    this.#at += this.#buffer.latin1Write(text, this.#at);
  }

  #sparse(realSize: number, runs: readonly SparseRun[] | "in-body"): void {
    const buffer = this.#buffer;
    this.#at = buffer.writeDoubleLE(realSize, this.#at);
    this.#at = buffer.writeUInt32LE(runs === "in-body" ? RUNS_IN_BODY : runs.length, this.#at);
    if (runs === "in-body") return;
    for (const { offset, length } of runs) {
      this.#at = buffer.writeDoubleLE(offset, this.#at);
      this.#at = buffer.writeDoubleLE(length, this.#at);
    }
  }

  /** Makes room for a whole entry. */
  #reserve(size: number): void {
    if (this.#at + size <= this.#buffer.length) return;
    this.#flush();
    if (size > this.#buffer.length) this.#buffer = Buffer.from(new ArrayBuffer(size));
  }

  #flush(): void {
    pwriteAll(this.#fd, this.#buffer.subarray(0, this.#at), this.#written, "temporary file");
    this.#written += this.#at;
    this.#at = 0;
  }
}

function packedSizeOf(entry: TarEntry, inlineSize: number): number {
  let size = FIXED_SIZE + entry.path.length + entry.linkName.length + inlineSize;
  if (entry.rdev !== undefined) size += 8;
  for (const [name, value] of entry.xattrs) size += 8 + name.length + value.length;
  if (entry.sparse !== undefined) {
    size += 12 + (entry.sparse.runs === "in-body" ? 0 : entry.sparse.runs.length * 16);
  }
  return size;
}

/**
 * Unpacks entries. Each is valid until the next one is asked for.
 * @param externals for each external body, in stream order, the index of its object in `objects`.
 */
export function* readLayerEntries(
  { fd, length }: PackedEntries,
  externals: Uint32Array,
  objects: ObjectIdTable,
): Generator<LayerEntry> {
  let next = 0;
  const nextExternal = () => objects.at(externals[next++]!);
  let buffer = Buffer.from(new ArrayBuffer(BUFFER_SIZE));
  for (let at = 0; at < length; ) {
    const read = pread(fd, buffer.subarray(0, Math.min(buffer.length, length - at)), at, "temporary file");
    const { used, next: needed } = wholeEntries(buffer, read);
    if (used === 0) {
      const canGrow = needed > buffer.length && needed <= MAX_ENTRY;
      if (!canGrow) throw new CfsError("Io", "the temporary file with a layer's entries is damaged");
      buffer = Buffer.from(new ArrayBuffer(needed));
      continue;
    }
    at += used;
    yield* unpack(buffer.subarray(0, used), nextExternal);
  }
}

/** How many of the `end` bytes are whole entries, and how long the entry behind them is (0 when that is not there). */
function wholeEntries(buffer: Buffer, end: number): { used: number; next: number } {
  let used = 0;
  while (used + FIXED_SIZE <= end) {
    const next = buffer.readUInt32LE(used + 48);
    if (next < FIXED_SIZE || used + next > end) return { used, next };
    used += next;
  }
  return { used, next: 0 };
}

function* unpack(buffer: Buffer, nextExternal: () => ObjectId): Generator<LayerEntry> {
  // One object for all of them: a new one for each would be most of the memory that building a tree takes.
  const entry = emptyEntry();
  const item: { entry: TarEntry; content: LayerContent | undefined } = { entry, content: undefined };
  let at = 0;
  const string = () => {
    const length = buffer.readUInt32LE(at);
    at += 4 + length;
    return buffer.latin1Slice(at - length, at);
  };
  while (at < buffer.length) {
    const start = at;
    const flags = buffer[start + 1]!;
    const pathEnd = start + FIXED_SIZE + buffer.readUInt32LE(start + 32);
    const linkEnd = pathEnd + buffer.readUInt32LE(start + 36);
    const type = TYPES[buffer[start]!]!;
    const size = buffer.readDoubleLE(start + 40);
    const xattrCount = buffer.readUInt32LE(start + 28);
    at = linkEnd;
    let rdev: bigint | undefined;
    if ((flags & HAS_RDEV) !== 0) {
      rdev = buffer.readBigUInt64LE(at);
      at += 8;
    }
    let content: LayerContent | undefined;
    if ((flags & EXTERNAL) !== 0) content = { type: "object", id: nextExternal(), size };
    else if (type === "file") {
      content = { type: "inline", data: buffer.latin1Slice(at, at + size) };
      at += size;
    }
    let xattrs = NO_XATTRS;
    if (xattrCount > 0)
      xattrs = new Map(Array.from({ length: xattrCount }, () => [string(), string()] as const));
    let sparse: TarEntry["sparse"];
    if ((flags & HAS_SPARSE) !== 0) {
      const realSize = buffer.readDoubleLE(at);
      const count = buffer.readUInt32LE(at + 8);
      at += 12;
      if (count === RUNS_IN_BODY) sparse = { realSize, runs: "in-body" };
      else {
        const runs = Array.from({ length: count }, (_, i) => ({
          offset: buffer.readDoubleLE(at + i * 16),
          length: buffer.readDoubleLE(at + i * 16 + 8),
        }));
        at += count * 16;
        sparse = { realSize, runs };
      }
    }
    entry.path = buffer.latin1Slice(start + FIXED_SIZE, pathEnd);
    entry.linkName = buffer.latin1Slice(pathEnd, linkEnd);
    entry.type = type;
    entry.typeflag = buffer[start + 2]!;
    entry.mode = buffer.readUInt32LE(start + 4);
    entry.uid = buffer.readUInt32LE(start + 8);
    entry.gid = buffer.readUInt32LE(start + 12);
    entry.mtime = buffer.readBigInt64LE(start + 16);
    entry.mtimeNsec = buffer.readUInt32LE(start + 24);
    entry.size = size;
    entry.rdev = rdev;
    entry.xattrs = xattrs;
    entry.sparse = sparse;
    item.content = content;
    yield item;
  }
}
