import { CfsError } from "../../errors.ts";
import { readGVariant, type Value, type Variant } from "../gvariant.ts";
import { alignUp, offsetWidth } from "../gvariant-type.ts";
import type { ByteRange } from "./byte-range.ts";
import { subRange } from "./byte-range.ts";

/** Where something is in the file of a superblock. */
export interface ByteLocation {
  readonly start: number;
  readonly size: number;
}

export interface DeltaSignatures {
  /** What is signed: the superblock without its wrapper. */
  readonly signed: ByteLocation;
  /** By the name of the method, such as `ostree.sign.ed25519`: `aay`. */
  readonly signatures: readonly (readonly [method: string, signatures: Variant])[];
}

/** The members of a superblock, parts that are inside of it only by their places. */
export interface SuperblockMembers {
  /** Without parts. */
  readonly metadata: readonly (readonly [key: string, value: Variant])[];
  /** By their numbers: values `(yay)`, which are what the file of a part holds. */
  readonly inlineParts: ReadonlyMap<number, ByteLocation>;
  /** All members but the metadata. */
  readonly others: Value;
  readonly signatures: DeltaSignatures | undefined;
}

/**
 * A superblock is `(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))`: metadata, in which parts may be, and these
 * members.
 */
const OTHERS = "(tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";
/** Members of `OTHERS` with a framing offset. */
const FRAMED_OTHERS = 5;
const ALIGNMENT = 8;

/** Around it when it is signed, `(taya{sv})`: magic, the superblock, signatures. */
const SIGNED_MAGIC = "OSTSGNDT";
const DICTIONARY = "a{sv}";
const ENTRY = "{sv}";

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters of one byte in UTF-8
const PART_KEY = /^deltas\/[\x01-\x7f]*\/(\d{1,9})$/;
const MAX_PART_KEY = 256;
/** After the value of a part, in a variant. */
const PART_TYPE = "\0(yay)";

/** Of all that is not the content of parts: seven million objects have as much. */
const MAX_IN_MEMORY = 256 * 1024 * 1024;
const MAX_ENTRIES = 1_000_000;

/**
 * Reads a superblock without the parts in it, however large they are. As everywhere, only normal form is accepted.
 * @throws CfsError Corrupt, Unsupported
 */
export function splitSuperblock(file: ByteRange): SuperblockMembers {
  if (file.size === 0) throw new CfsError("Corrupt", "superblock is empty");
  const signatures = unwrap(file);
  const start = signatures?.signed.start ?? 0;
  const size = signatures?.signed.size ?? file.size;
  const superblock = subRange(file, start, size, "superblock");
  const { bodyEnd, ends } = framing(superblock, FRAMED_OTHERS + 1);
  const metadataEnd = ends[0]!;
  const others = readOthers(
    superblock,
    afterPadding(superblock, metadataEnd, bodyEnd),
    bodyEnd,
    ends.slice(1),
  );
  const { entries, parts } = readMetadata(superblock, metadataEnd);
  const inlineParts = new Map(
    [...parts].map(([number, part]) => [number, { ...part, start: start + part.start }]),
  );
  return { metadata: entries, inlineParts, others, signatures };
}

function notNormal(what: string): CfsError {
  return new CfsError("Corrupt", `not a GVariant in normal form: ${what}`);
}

/** A copy: what a range gives is only good until the next call. */
function take(range: ByteRange, start: number, end: number): Buffer<ArrayBuffer> {
  if (end - start > MAX_IN_MEMORY)
    throw new CfsError("Unsupported", `a superblock with ${end - start} bytes beside its parts is too large`);
  return Buffer.from(new Uint8Array(range.read(start, end)).buffer);
}

/** Bytes of each framing offset of a container. */
function widthOf(size: number): number {
  const width = size === 0 ? 8 : offsetWidth(size, 0);
  if (width === 8) throw notNormal(size === 0 ? "it ends too early" : "4 GiB are too many");
  return width;
}

/** The end of the members of a tuple, and the ends of those that have a framing offset, in their order. */
function framing(tuple: ByteRange, count: number): { bodyEnd: number; ends: number[] } {
  const { size } = tuple;
  const width = widthOf(size);
  const bodyEnd = size - count * width;
  if (bodyEnd < 0 || offsetWidth(bodyEnd, count) !== width) throw notNormal("wrong framing of a tuple");
  const table = take(tuple, bodyEnd, size);
  const ends = Array.from({ length: count }, (_, i) => table.readUIntLE((count - 1 - i) * width, width));
  const isOrdered = ends.every((end, i) => end >= (ends[i - 1] ?? 0) && end <= bodyEnd);
  if (!isOrdered) throw notNormal("wrong framing of a tuple");
  return { bodyEnd, ends };
}

/** The next aligned position. */
function afterPadding(range: ByteRange, position: number, limit: number): number {
  const aligned = alignUp(position, ALIGNMENT);
  if (aligned > limit) throw notNormal("it ends too early");
  if (range.read(position, aligned).some((byte) => byte !== 0)) throw notNormal("padding that is not zero");
  return aligned;
}

function unwrap(file: ByteRange): DeltaSignatures | undefined {
  const start = SIGNED_MAGIC.length;
  if (file.size < start || take(file, 0, start).latin1Slice() !== SIGNED_MAGIC) return undefined;
  const { bodyEnd, ends } = framing(file, 1);
  const end = ends[0]!;
  if (end < start) throw notNormal("wrong framing of a tuple");
  const signatures = readGVariant(DICTIONARY, take(file, afterPadding(file, end, bodyEnd), bodyEnd));
  return {
    signed: { start, size: end - start },
    signatures: signatures as unknown as DeltaSignatures["signatures"],
  };
}

/** Reads the members behind the metadata as a tuple of their own. @param ends of those with a framing offset. */
function readOthers(superblock: ByteRange, start: number, bodyEnd: number, ends: readonly number[]): Value {
  const bodySize = bodyEnd - start;
  const width = offsetWidth(bodySize, FRAMED_OTHERS);
  const table = Buffer.alloc(FRAMED_OTHERS * width);
  for (const [i, end] of ends.entries()) {
    if (end < start) throw notNormal("wrong framing of a tuple");
    table.writeUIntLE(end - start, (FRAMED_OTHERS - 1 - i) * width, Math.min(width, 4));
  }
  return readGVariant(OTHERS, Buffer.concat([take(superblock, start, bodyEnd), table]));
}

interface Metadata {
  readonly entries: [string, Variant][];
  readonly parts: Map<number, ByteLocation>;
}

/** Reads the array `a{sv}` in front. @param size of it. */
function readMetadata(superblock: ByteRange, size: number): Metadata {
  const metadata: Metadata = { entries: [], parts: new Map() };
  if (size === 0) return metadata;
  const width = widthOf(size);
  const bodyEnd = size < width ? 0 : take(superblock, size - width, size).readUIntLE(0, width);
  const count = (size - bodyEnd) / width;
  if (count < 1 || !Number.isInteger(count) || offsetWidth(bodyEnd, count) !== width)
    throw notNormal("wrong framing of an array");
  if (count > MAX_ENTRIES)
    throw new CfsError("Unsupported", `a superblock with ${count} entries in its metadata is too large`);
  const table = take(superblock, bodyEnd, size);
  let position = 0;
  let inMemory = 0;
  for (let i = 0; i < count; i++) {
    const start = afterPadding(superblock, position, bodyEnd);
    const end = table.readUIntLE(i * width, width);
    if (end < start || end > bodyEnd) throw notNormal("wrong framing of an array");
    const entry = subRange(superblock, start, end - start, "superblock");
    const part = inlinePart(entry);
    if (part !== undefined) metadata.parts.set(part.number, { start: start + part.start, size: part.size });
    else {
      inMemory += entry.size;
      if (inMemory > MAX_IN_MEMORY)
        throw new CfsError("Unsupported", "a superblock with so much metadata is too large");
      metadata.entries.push(readGVariant(ENTRY, take(entry, 0, entry.size)) as unknown as [string, Variant]);
    }
    position = end;
  }
  return metadata;
}

/** Where the value is in an entry of the metadata that is a part; undefined for all others. */
function inlinePart(entry: ByteRange): (ByteLocation & { readonly number: number }) | undefined {
  const { bodyEnd, ends } = framing(entry, 1);
  const keyEnd = ends[0]!;
  if (keyEnd > MAX_PART_KEY || keyEnd < 1) return undefined;
  const key = take(entry, 0, keyEnd);
  const number = PART_KEY.exec(key.latin1Slice(0, keyEnd - 1))?.[1];
  if (number === undefined || key[keyEnd - 1] !== 0) return undefined;
  const start = afterPadding(entry, keyEnd, bodyEnd);
  const end = bodyEnd - PART_TYPE.length;
  if (end <= start || take(entry, end, bodyEnd).latin1Slice() !== PART_TYPE)
    throw new CfsError("Corrupt", `${key.latin1Slice(0, keyEnd - 1)} is not of the type '(yay)'`);
  return { number: Number(number), start, size: end - start };
}
