import { CfsError } from "../errors.ts";
import { CONTENT_OSTREE_COMMIT, type ObjectIdTable } from "../splitstream/format.ts";
import type { SplitstreamReader } from "../splitstream/reader.ts";
import type { ObjectId } from "../verity/digest.ts";
import { CHECKSUM_SIZE, type Checksum, checksumOf } from "./checksum.ts";

/**
 * The content of a commit's splitstream: all objects of the commit by their checksums. Integers are little-endian.
 *
 *   0              u32 index of the commit among the checksums
 *   4              u32 flags, 0
 *   8              256 u32: how many checksums have a first byte up to this one
 *   1032           N checksums, ascending
 *   1032 + 32 N    N entries: u32 offset of the data divided by 8, u32 length, u32 index into object_refs or NO_EXTERNAL
 *   1032 + 44 N    the data, each padded with zeros to a multiple of 8 bytes
 *
 * Of commits, dirtrees and dirmetas the data is the object itself; of files the header of the form that archives have,
 * and then the content, unless that is an object of the repository.
 */
export const BUCKETS_AT = 8;
export const CHECKSUMS_AT = BUCKETS_AT + 256 * 4;
export const ENTRY_SIZE = 12;
export const NO_EXTERNAL = 0xffffffff;
export const DATA_ALIGNMENT = 8;

/** Name, in a commit's splitstream, of the EROFS image that was made of the commit. */
export const IMAGE_REF = "composefs.image";
/** In front of a path, in the stream of a commit that is there in part: what is below it is there. */
export const SUBPATH_REF = "ostree.subpath:";

/** A table of ten million objects; larger ones could not be held in memory. */
const MAX_TABLE_SIZE = 2 ** 31;
const FIRST_TABLE_SIZE = 8 * 1024 * 1024;

/** What the repository has of an ostree object. */
export interface StoredObject {
  readonly data: Uint8Array;
  /** Of a file whose content is an object of the repository. */
  readonly external: ObjectId | undefined;
}

/** Where ostree objects are looked up. */
export interface ObjectLookup {
  find(checksum: Checksum): StoredObject | undefined;
}

function corrupt(message: string): CfsError {
  return new CfsError("Corrupt", `commit stream: ${message}`, {
    hint: "run `cfsctl ostree fsck`, and pull the commit again",
  });
}

/** A table in memory; objects are found by bisection and their data is not copied. */
export class CommitTable implements ObjectLookup {
  /** The table as it is stored. */
  readonly bytes: Buffer<ArrayBufferLike>;
  /** Objects of the repository that files refer to. */
  readonly objects: ObjectIdTable;
  /** Number of ostree objects. */
  readonly length: number;
  readonly commit: Checksum;
  readonly #key = Buffer.alloc(CHECKSUM_SIZE);

  /** @throws CfsError Corrupt when the parts of the table can't be where they have to be. */
  constructor(table: Uint8Array, objects: ObjectIdTable) {
    this.bytes = Buffer.from(table.buffer, table.byteOffset, table.length);
    this.objects = objects;
    if (table.length < CHECKSUMS_AT) throw corrupt("it ends inside its header");
    for (let i = 0, last = 0; i < 256; i++) {
      const end = this.#bucketEnd(i);
      if (end < last) throw corrupt("Invalid commit bucket data");
      last = end;
    }
    this.length = this.#bucketEnd(255);
    if (table.length < this.#dataStart) throw corrupt("it ends inside its table of objects");
    const commit = this.bytes.readUInt32LE(0);
    if (commit >= this.length) throw corrupt("commit id out of bounds");
    this.commit = this.checksumAt(commit);
  }

  /** Index of an object, or -1. */
  indexOf(checksum: Checksum): number {
    this.#key.hexWrite(checksum);
    return this.indexOfBytes(this.#key, 0);
  }

  /** As `indexOf`, for the checksum that begins at `offset` of `key`. */
  indexOfBytes(key: Uint8Array, offset: number): number {
    const { bytes } = this;
    const first = key[offset]!;
    let low = first === 0 ? 0 : this.#bucketEnd(first - 1);
    let high = this.#bucketEnd(first);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.checksumStart(middle);
      // The first bytes decide nearly always, sooner than a native function is called.
      let i = 0;
      while (i < CHECKSUM_SIZE && key[offset + i] === bytes[at + i]) i++;
      if (i === CHECKSUM_SIZE) return middle;
      if (key[offset + i]! < bytes[at + i]!) high = middle;
      else low = middle + 1;
    }
    return -1;
  }

  find(checksum: Checksum): StoredObject | undefined {
    const index = this.indexOf(checksum);
    if (index < 0) return undefined;
    return { data: this.dataAt(index), external: this.externalAt(index) };
  }

  /** @param index 0 … length - 1. */
  checksumAt(index: number): Checksum {
    const at = this.checksumStart(index);
    return checksumOf(this.bytes.subarray(at, at + CHECKSUM_SIZE));
  }

  /** @throws CfsError Corrupt */
  dataAt(index: number): Uint8Array {
    const { start, end } = this.dataRange(index);
    return this.bytes.subarray(start, end);
  }

  /** Where the data of an object is in the table. @throws CfsError Corrupt */
  dataRange(index: number): { readonly start: number; readonly end: number } {
    const entry = this.#entry(index);
    const start = this.#dataStart + this.bytes.readUInt32LE(entry) * DATA_ALIGNMENT;
    const end = start + this.bytes.readUInt32LE(entry + 4);
    if (end > this.bytes.length) throw corrupt("Object data offset/size out of bounds");
    return { start, end };
  }

  /** The object that has the content of a file. @throws CfsError Corrupt */
  externalAt(index: number): ObjectId | undefined {
    const external = this.externalIndex(index);
    return external === NO_EXTERNAL ? undefined : this.objects.at(external);
  }

  /** As `externalAt`: its place in `objects`, or NO_EXTERNAL. @throws CfsError Corrupt */
  externalIndex(index: number): number {
    const external = this.bytes.readUInt32LE(this.#entry(index) + 8);
    if (external !== NO_EXTERNAL && external >= this.objects.length)
      throw corrupt(`External ref index ${external} out of range`);
    return external;
  }

  /** Where the checksum of an object is in the table. */
  checksumStart(index: number): number {
    return CHECKSUMS_AT + index * CHECKSUM_SIZE;
  }

  get #dataStart(): number {
    return CHECKSUMS_AT + (CHECKSUM_SIZE + ENTRY_SIZE) * this.length;
  }

  #bucketEnd(bucket: number): number {
    return this.bytes.readUInt32LE(BUCKETS_AT + bucket * 4);
  }

  #entry(index: number): number {
    return CHECKSUMS_AT + CHECKSUM_SIZE * this.length + index * ENTRY_SIZE;
  }
}

/** Reads the table out of an open splitstream, all of it, once. @throws CfsError Corrupt */
export function readCommitTable(reader: SplitstreamReader): CommitTable {
  reader.expectContentType(CONTENT_OSTREE_COMMIT);
  if (reader.streamSize > BigInt(MAX_TABLE_SIZE)) throw corrupt(`${reader.streamSize} bytes are too many`);
  const size = Number(reader.streamSize);
  // What is recorded is not believed before that much is there.
  let table = Buffer.allocUnsafeSlow(Math.min(size, FIRST_TABLE_SIZE));
  let length = 0;
  for (const chunk of reader.chunks()) {
    if (!("inline" in chunk)) throw corrupt("it has an external chunk");
    const end = length + chunk.inline.length;
    if (end > size) throw corrupt(`it is longer than the ${size} bytes that are recorded in it`);
    if (end > table.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(size, Math.max(end, table.length * 2)));
      table.copy(larger, 0, 0, length);
      table = larger;
    }
    table.set(chunk.inline, length);
    length = end;
  }
  if (length !== size) throw corrupt(`its length is not the ${size} bytes that are recorded in it`);
  return new CommitTable(table, reader.objectRefs);
}
