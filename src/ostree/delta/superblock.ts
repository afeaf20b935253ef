import { CfsError, withContext } from "../../errors.ts";
import { CHECKSUM_SIZE, type Checksum, checksumOf, computeChecksum } from "../checksum.ts";
import { type Value, type Variant, writeGVariant } from "../gvariant.ts";
import { OBJECT_TYPES, type ObjectType, swap32, swap64 } from "../objects.ts";
import type { ByteRange } from "./byte-range.ts";
import { type ByteLocation, type DeltaSignatures, splitSuperblock } from "./superblock-layout.ts";

/**
 * The head of a static delta (libostree's ostree-repo-static-delta-private.h): what it leads from and to, the new
 * commit, and what its parts contain. Numbers of bytes are in the byte order of the machine that made it.
 */
export const SUPERBLOCK = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";
const COMMIT = "(a{sv}aya(say)sstayay)";

export const ENDIANNESS_KEY = "ostree.endianness";
export const OBJECT_NAME_SIZE = 1 + CHECKSUM_SIZE;
/** The only version of parts that there is. */
const PART_VERSION = 0;

export interface DeltaObject {
  readonly type: ObjectType;
  readonly checksum: Checksum;
}

export interface DeltaPart {
  /** SHA-256 of the part as it is stored, in hex. */
  readonly checksum: Checksum;
  /** Bytes of the part as it is stored. */
  readonly storedSize: number;
  /** Bytes of the content of its objects, as the generator counted them. */
  readonly contentSize: number;
  /** What it makes, in this order. */
  readonly objects: readonly DeltaObject[];
  /** Where the part is in the superblock's file; undefined when it has a file of its own. */
  readonly inline: ByteLocation | undefined;
}

/** An object that has to be fetched on its own. */
export interface FallbackObject extends DeltaObject {
  readonly storedSize: number;
  readonly contentSize: number;
}

export interface Superblock {
  /** Without the parts in it. */
  readonly metadata: readonly (readonly [key: string, value: Variant])[];
  /** Seconds since 1970. */
  readonly timestamp: bigint;
  /** Of the machine that made it. */
  readonly byteOrder: "little" | "big";
  /** Undefined for a delta from nothing. */
  readonly from: Checksum | undefined;
  readonly to: Checksum;
  /** The commit object `to`, verified. */
  readonly commit: Uint8Array<ArrayBuffer>;
  readonly parts: readonly DeltaPart[];
  readonly fallbacks: readonly FallbackObject[];
  /** Of a signed delta; nobody has verified them. */
  readonly signatures: DeltaSignatures | undefined;
}

type RawPart = readonly [
  version: number,
  checksum: Uint8Array,
  size: bigint,
  content: bigint,
  names: Uint8Array,
];
type RawFallback = readonly [type: number, checksum: Uint8Array, size: bigint, content: bigint];

/**
 * @param file of which parts are not read.
 * @throws CfsError Corrupt when it is malformed, or the commit in it is not the one it says; Unsupported for parts of
 *   a later version.
 */
export function readSuperblock(file: ByteRange): Superblock {
  try {
    return parse(file);
  } catch (error) {
    throw withContext("static delta", error);
  }
}

function parse(file: ByteRange): Superblock {
  const { metadata, inlineParts, others, signatures } = splitSuperblock(file);
  const [timestamp, from, to, commitValue, , rawParts, rawFallbacks] = others as unknown as [
    bigint,
    Uint8Array,
    Uint8Array,
    Value,
    Uint8Array,
    RawPart[],
    RawFallback[],
  ];
  if (to.length !== CHECKSUM_SIZE) throw corrupt(`invalid to-checksum length ${to.length}`);
  if (from.length !== 0 && from.length !== CHECKSUM_SIZE)
    throw corrupt(`invalid from-checksum length ${from.length}`);
  // What is read is in normal form, so that it has only one serialised form.
  const commit = writeGVariant(COMMIT, commitValue);
  const found = computeChecksum(commit);
  const expected = checksumOf(to);
  if (found !== expected) {
    throw new CfsError("Corrupt", `the commit in it has the checksum ${found} instead of ${expected}`, {
      data: { expected, found },
    });
  }
  const sizes = [...rawParts, ...rawFallbacks].flatMap(([, , size, content]) => [size, content]);
  const byteOrder = findByteOrder(metadata, sizes);
  const order = (size: bigint) => sizeIn(byteOrder, size);
  return {
    metadata,
    timestamp: swap64(timestamp),
    byteOrder,
    from: from.length === 0 ? undefined : checksumOf(from),
    to: expected,
    commit,
    parts: rawParts.map((part, i) => parsePart(part, i, order, inlineParts.get(i))),
    fallbacks: rawFallbacks.map(([type, checksum, size, content]) => ({
      type: objectType(type),
      checksum: checksumField(checksum, "of an object to be fetched on its own"),
      storedSize: order(size),
      contentSize: order(content),
    })),
    signatures,
  };
}

function corrupt(message: string): CfsError {
  return new CfsError("Corrupt", message, { hint: "get the delta again, or pull without it" });
}

function parsePart(
  [version, checksum, size, content, names]: RawPart,
  index: number,
  order: (size: bigint) => number,
  inline: ByteLocation | undefined,
): DeltaPart {
  if (version > PART_VERSION) {
    throw new CfsError("Unsupported", `its part ${index} has the too new version ${swap32(version)}`, {
      hint: "pull without the delta",
    });
  }
  return {
    checksum: checksumField(checksum, `of part ${index}`),
    storedSize: order(size),
    contentSize: order(content),
    objects: parseObjectNames(names),
    inline,
  };
}

function parseObjectNames(names: Uint8Array): DeltaObject[] {
  if (names.length % OBJECT_NAME_SIZE !== 0)
    throw corrupt(`objects array length ${names.length} not a multiple of ${OBJECT_NAME_SIZE}`);
  const objects: DeltaObject[] = [];
  for (let at = 0; at < names.length; at += OBJECT_NAME_SIZE) {
    const checksum = checksumOf(names.subarray(at + 1, at + OBJECT_NAME_SIZE));
    objects.push({ type: objectType(names[at]!), checksum });
  }
  return objects;
}

const TYPES_BY_NUMBER: ReadonlyMap<number, ObjectType> = new Map(
  Object.entries(OBJECT_TYPES).map(([type, number]) => [number, type as ObjectType]),
);

function objectType(number: number): ObjectType {
  const type = TYPES_BY_NUMBER.get(number);
  if (type === undefined) throw corrupt(`Unknown object type ${number}`);
  return type;
}

function checksumField(bytes: Uint8Array, what: string): Checksum {
  if (bytes.length !== CHECKSUM_SIZE) throw corrupt(`the checksum ${what} has ${bytes.length} bytes`);
  return checksumOf(bytes);
}

/** Key, in the metadata, of what is kept beside the new commit. @param directory of the delta in a repository. */
export function detachedKey(directory: string): string {
  return `${directory}/commitmeta`;
}

/** What is kept beside the new commit, such as its signatures: `a{sv}`; undefined when the delta does not say. */
export function detachedMetadataOf({ metadata }: Superblock): Uint8Array | undefined {
  const found = metadata.find(([key]) => key.startsWith("deltas/") && key.endsWith(detachedKey("")))?.[1];
  return found?.signature === "a{sv}" ? found.bytes : undefined;
}

const LITTLE = 0x6c;
const BIG = 0x42;

/**
 * How to read numbers of bytes. Old generators don't say it; in the wrong order sizes are so large that there is no
 * doubt.
 */
function findByteOrder(
  metadata: readonly (readonly [string, Variant])[],
  sizes: readonly bigint[],
): "little" | "big" {
  const value = metadata.find(([key]) => key === ENDIANNESS_KEY)?.[1];
  const sum = (values: readonly bigint[]) => values.reduce((total, size) => total + size, 0n);
  if (value === undefined) return sum(sizes.map(swap64)) < sum(sizes) ? "big" : "little";
  if (value.signature === "y" && value.value === LITTLE) return "little";
  if (value.signature === "y" && value.value === BIG) return "big";
  throw corrupt(`${ENDIANNESS_KEY} is neither 'l' nor 'B'`);
}

function sizeIn(order: "little" | "big", size: bigint): number {
  const bytes = order === "big" ? swap64(size) : size;
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`a size of ${bytes} bytes is impossible`);
  return Number(bytes);
}

/** Numbers of objects that a delta brings, the commit included. */
export function countObjects({ parts, fallbacks }: Superblock): { metadata: number; files: number } {
  const objects = [...parts.flatMap((part) => part.objects), ...fallbacks];
  const files = objects.filter(({ type }) => type === "file").length;
  return { metadata: objects.length - files + 1, files };
}
