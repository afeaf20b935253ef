import { CfsError } from "../errors.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";

/**
 * Splitstream file format: a byte stream as inline data and references to objects.
 *
 *   header        32 bytes
 *   info          80 bytes: ranges of the sections, content type, size of the rebuilt stream
 *   stream_refs   digests of other streams that named refs point to
 *   object_refs   digests of the external objects, in order of first use
 *   named_refs    zstd: records `<index into stream_refs>:<name>\0`, sorted by name
 *   stream        zstd: i64 records; negative: that many inline bytes follow; else an index into object_refs
 *
 * All integers are little-endian, ranges are [start, end) from the beginning of the file.
 */
export const MAGIC = "SplitStream";
export const HEADER_SIZE = 32;
export const INFO_SIZE = 80;
const LG_BLOCK_SIZE = 12;

/** What a stream holds: eight characters, as a rule ASCII, a little-endian u64 in the file. */
export const CONTENT_LAYER = "ocilayer";
export const CONTENT_CONFIG = "ociconfg";
export const CONTENT_MANIFEST = "ocimanif";
export const CONTENT_BLOB = "oci_blob";
export const CONTENT_OSTREE_COMMIT = "\xf1\x3e\x46\x8c\xc1\x38\xe1\xaf";

export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Info {
  readonly streamRefs: Range;
  readonly objectRefs: Range;
  readonly namedRefs: Range;
  readonly stream: Range;
  readonly contentType: string;
  /** Size of the rebuilt stream in bytes. */
  readonly streamSize: bigint;
}

function corrupt(message: string): CfsError {
  return new CfsError("Corrupt", message);
}

/** Whether the first 32 bytes of a file are those of a splitstream, in the present or the early form. */
export function hasSplitstreamMagic(header: Buffer): boolean {
  return header.latin1Slice(0, 11) === MAGIC || header.latin1Slice(18, 29) === MAGIC;
}

/**
 * Range of the info section. Two headers exist: the present one, and a permutation of it that early versions wrote.
 * @param bytes the first 32 bytes of the file.
 */
export function parseHeader(bytes: Uint8Array, algorithm: Algorithm, fileSize: number): Range {
  if (bytes.length < HEADER_SIZE)
    throw corrupt("Error reading splitstream header: the file is shorter than 32 bytes");
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  const isCurrent = header.latin1Slice(0, 11) === MAGIC;
  if (!isCurrent && header.latin1Slice(18, 29) !== MAGIC)
    throw corrupt("Invalid splitstream header magic value");
  const [version, hash, lgBlockSize] = isCurrent
    ? [header[11]!, header[14]!, header[15]!]
    : [header[29]!, header[30]!, header[31]!];
  if (version !== 0) throw corrupt(`Invalid splitstream version ${version}`);
  if (hash !== algorithm.kernelId) throw corrupt("Invalid splitstream fs-verity algorithm type");
  if (lgBlockSize !== LG_BLOCK_SIZE) throw corrupt("Invalid splitstream fs-verity block size");
  const info = readRange(header, isCurrent ? 16 : 0, fileSize);
  if (info.end - info.start < INFO_SIZE)
    throw corrupt("Error reading splitstream metadata: it is shorter than 80 bytes");
  return info;
}

/** @param bytes at least the 80 bytes of the info section. */
export function parseInfo(bytes: Uint8Array, fileSize: number): Info {
  const info = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    streamRefs: readRange(info, 0, fileSize),
    objectRefs: readRange(info, 16, fileSize),
    // Whether the stream is all there shows when it is read: the tables are of use without it.
    stream: readRange(info, 32, Number.MAX_SAFE_INTEGER),
    namedRefs: readRange(info, 48, fileSize),
    contentType: info.latin1Slice(64, 72),
    streamSize: info.readBigUInt64LE(72),
  };
}

function readRange(buffer: Buffer, offset: number, fileSize: number): Range {
  const start = buffer.readBigUInt64LE(offset);
  const end = buffer.readBigUInt64LE(offset + 8);
  if (end < start) throw corrupt("Negative-sized range in splitstream");
  if (end > BigInt(fileSize)) throw corrupt("Incomplete read from splitstream file");
  return { start: Number(start), end: Number(end) };
}

/** Everything before the stream section. */
export function encodeHead(sections: {
  algorithm: Algorithm;
  contentType: string;
  streamSize: bigint;
  /** Digests, one after the other. */
  streamRefs: Uint8Array;
  objectRefs: Uint8Array;
  namedRefs: Uint8Array;
  /** Length of the compressed stream that will follow. */
  streamLength: number;
}): Buffer<ArrayBuffer> {
  const { streamRefs, objectRefs, namedRefs } = sections;
  const streamRefsAt = HEADER_SIZE + INFO_SIZE;
  const objectRefsAt = streamRefsAt + streamRefs.length;
  const namedRefsAt = objectRefsAt + objectRefs.length;
  const streamAt = namedRefsAt + namedRefs.length;

  const head = Buffer.alloc(streamAt);
  const writeRange = (at: number, start: number, end: number) => {
    head.writeBigUInt64LE(BigInt(start), at);
    head.writeBigUInt64LE(BigInt(end), at + 8);
  };
  head.latin1Write(MAGIC, 0);
  head[14] = sections.algorithm.kernelId;
  head[15] = LG_BLOCK_SIZE;
  writeRange(16, HEADER_SIZE, streamRefsAt);
  writeRange(32, streamRefsAt, objectRefsAt);
  writeRange(48, objectRefsAt, namedRefsAt);
  writeRange(64, streamAt, streamAt + sections.streamLength);
  writeRange(80, namedRefsAt, streamAt);
  head.latin1Write(sections.contentType, 96);
  head.writeBigUInt64LE(sections.streamSize, 104);
  head.set(streamRefs, streamRefsAt);
  head.set(objectRefs, objectRefsAt);
  head.set(namedRefs, namedRefsAt);
  return head;
}

/** The records of the named_refs section, before compression. */
export function encodeNamedRefs(names: ReadonlyMap<string, number>): Buffer {
  const records = [...names].map(([name, index]) => ({ name: Buffer.from(name, "utf8"), index }));
  records.sort((a, b) => Buffer.compare(a.name, b.name));
  return Buffer.concat(records.flatMap(({ name, index }) => [Buffer.from(`${index}:`), name, Buffer.of(0)]));
}

/** @param plain the decompressed named_refs section. */
export function parseNamedRefs(plain: Uint8Array, streamRefs: ObjectIdTable): Map<string, ObjectId> {
  const fail = (message: string) => corrupt(`Error reading splitstream mappings: ${message}`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(plain);
  } catch {
    throw fail("the names are not UTF-8");
  }
  const refs = new Map<string, ObjectId>();
  if (text === "") return refs;
  if (!text.endsWith("\0")) throw fail("Trailing junk in named references section");
  for (const record of text.slice(0, -1).split("\0")) {
    const colon = record.indexOf(":");
    if (colon < 0) throw fail("Named reference doesn't contain a colon");
    const digits = record.slice(0, colon);
    if (!/^\+?[0-9]+$/.test(digits)) throw fail("Named reference contains a non-integer index");
    const index = Number(digits);
    if (index >= streamRefs.length) throw fail("Named reference out of bounds");
    refs.set(record.slice(colon + 1), streamRefs.at(index));
  }
  return refs;
}

/** @param what for the error when the length is no multiple of the digest size. */
export function checkTable({ start, end }: Range, algorithm: Algorithm, what: string): void {
  if ((end - start) % algorithm.size !== 0)
    throw corrupt(`Error reading ${what}: its length is no multiple of a digest`);
}

/** A table of digests as it stands in the file, decoded on demand: a layer may have a million of them. */
export class ObjectIdTable implements Iterable<ObjectId> {
  readonly length: number;
  /** The digests, one after the other. */
  readonly bytes: Buffer;
  readonly #size: number;

  /** @param what for the error when the length is no multiple of the digest size. */
  constructor(bytes: Uint8Array, algorithm: Algorithm, what: string) {
    checkTable({ start: 0, end: bytes.length }, algorithm, what);
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#size = algorithm.size;
    this.length = bytes.length / algorithm.size;
  }

  /** @param index 0 … length - 1, to be checked by the caller. */
  at(index: number): ObjectId {
    return this.bytes.hexSlice(index * this.#size, (index + 1) * this.#size) as ObjectId;
  }

  *[Symbol.iterator](): Generator<ObjectId> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }
}
