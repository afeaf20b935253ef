import { CfsError, withContext } from "../../errors.ts";
import { CHECKSUM_SIZE, type Checksum, checksumOf, computeChecksum } from "../checksum.ts";
import { readGVariant, type Value, type Variant, writeGVariant } from "../gvariant.ts";
import { OBJECT_TYPES, type ObjectType, swap32, swap64 } from "../objects.ts";

/**
 * The head of a static delta (libostree's ostree-repo-static-delta-private.h): what it leads from and to, the new
 * commit, and what its parts contain. Numbers of bytes are in the byte order of the machine that made it.
 */
export const SUPERBLOCK = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";
/** Around it, when it is signed: magic, the superblock, signatures. */
const SIGNED = "(taya{sv})";
const SIGNED_MAGIC = "OSTSGNDT";
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
  /** The part itself, when it is in the superblock. */
  readonly inline: Uint8Array | undefined;
}

/** An object that has to be fetched on its own. */
export interface FallbackObject extends DeltaObject {
  readonly storedSize: number;
  readonly contentSize: number;
}

export interface DeltaSignatures {
  /** What is signed: the superblock without its wrapper. */
  readonly signed: Uint8Array;
  /** By the name of the method, such as `ostree.sign.ed25519`: `aay`. */
  readonly signatures: readonly (readonly [method: string, signatures: Variant])[];
}

export interface Superblock {
  readonly metadata: readonly (readonly [key: string, value: Variant])[];
  /** Seconds since 1970. */
  readonly timestamp: bigint;
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
 * @param bytes the file; inline parts in the result are views of it.
 * @throws CfsError Corrupt when it is malformed, or the commit in it is not the one it says; Unsupported for parts of
 *   a later version.
 */
export function parseSuperblock(bytes: Uint8Array): Superblock {
  try {
    return parse(bytes);
  } catch (error) {
    throw withContext("static delta", error);
  }
}

function parse(bytes: Uint8Array): Superblock {
  const signatures = unwrap(bytes);
  const [metadata, timestamp, from, to, commitValue, , rawParts, rawFallbacks] = readGVariant(
    SUPERBLOCK,
    signatures?.signed ?? bytes,
  ) as unknown as [
    [string, Variant][],
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
  const order = byteOrder(metadata, sizes);
  const inline = inlineParts(metadata);
  return {
    metadata,
    timestamp: swap64(timestamp),
    from: from.length === 0 ? undefined : checksumOf(from),
    to: expected,
    commit,
    parts: rawParts.map((part, i) => parsePart(part, i, order, inline.get(i))),
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

function unwrap(bytes: Uint8Array): DeltaSignatures | undefined {
  const magic = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).latin1Slice(0, SIGNED_MAGIC.length);
  if (magic !== SIGNED_MAGIC) return undefined;
  const [, signed, signatures] = readGVariant(SIGNED, bytes) as unknown as [
    bigint,
    Uint8Array,
    [string, Variant][],
  ];
  return { signed, signatures };
}

function parsePart(
  [version, checksum, size, content, names]: RawPart,
  index: number,
  order: (size: bigint) => number,
  inline: Uint8Array | undefined,
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

/** Parts in the superblock are values `(yay)` of its metadata, by keys that end in their numbers. */
function inlineParts(metadata: readonly (readonly [string, Variant])[]): Map<number, Uint8Array> {
  const parts = new Map<number, Uint8Array>();
  for (const [key, { signature, bytes }] of metadata) {
    const number = /^deltas\/.*\/(\d{1,9})$/.exec(key)?.[1];
    if (number === undefined) continue;
    if (signature !== "(yay)") throw corrupt(`${key} is of the type '${signature}' instead of '(yay)'`);
    parts.set(Number(number), bytes);
  }
  return parts;
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
function byteOrder(
  metadata: readonly (readonly [string, Variant])[],
  sizes: readonly bigint[],
): (size: bigint) => number {
  const value = metadata.find(([key]) => key === ENDIANNESS_KEY)?.[1];
  const sum = (values: readonly bigint[]) => values.reduce((total, size) => total + size, 0n);
  let isBig: boolean;
  if (value === undefined) isBig = sum(sizes.map(swap64)) < sum(sizes);
  else if (value.signature === "y" && (value.value === LITTLE || value.value === BIG)) {
    isBig = value.value === BIG;
  } else throw corrupt(`${ENDIANNESS_KEY} is neither 'l' nor 'B'`);
  return (size) => {
    const bytes = isBig ? swap64(size) : size;
    if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`a size of ${bytes} bytes is impossible`);
    return Number(bytes);
  };
}

/** Numbers of objects that a delta brings, the commit included. */
export function countObjects({ parts, fallbacks }: Superblock): { metadata: number; files: number } {
  const objects = [...parts.flatMap((part) => part.objects), ...fallbacks];
  const files = objects.filter(({ type }) => type === "file").length;
  return { metadata: objects.length - files + 1, files };
}
