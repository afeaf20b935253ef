import { type ByteString, display, fromText, toText } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { S_IFLNK, S_IFMT, S_IFREG } from "../mode.ts";
import { type Checksum, checksumOf } from "./checksum.ts";
import { readGVariant, type Value, writeGVariant } from "./gvariant.ts";
import { MAX_METADATA_SIZE, swap32, swap64, type XattrPair, xattrPairs, xattrValue } from "./objects.ts";

/**
 * What an object of type file has before its content. Two forms exist: the one that is hashed, and the one that
 * repositories of mode archive store, which also has the size of the content:
 *
 *   u32 big-endian length of the variant, 4 zero bytes, the variant; then the content
 */
export interface FileHeader {
  readonly uid: number;
  readonly gid: number;
  /** With S_IFREG or S_IFLNK. */
  readonly mode: number;
  /** Target of a symbolic link; empty for others. */
  readonly target: ByteString;
  readonly xattrs: readonly XattrPair[];
}

/** A header of the form that archives have. */
export interface ArchiveHeader {
  readonly header: FileHeader;
  /** Bytes of the content, as the header says; nobody vouches for it. */
  readonly size: number;
}

const HASHED = "(uuuusa(ayay))";
const ARCHIVED = "(tuuuusa(ayay))";
export const PREFIX_SIZE = 8;

export function isSymlink({ mode }: FileHeader): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

/**
 * Length of the header of an archived file, prefix included.
 * @param bytes the beginning of the file, at least 8 bytes.
 * @throws CfsError Corrupt.
 */
export function archiveHeaderLength(bytes: Uint8Array): number {
  if (bytes.length < PREFIX_SIZE) throw new CfsError("Corrupt", "the file ends inside its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, PREFIX_SIZE);
  const length = view.getUint32(0, false);
  if (view.getUint32(4, false) !== 0) throw new CfsError("Corrupt", "the file has no header");
  if (length > MAX_METADATA_SIZE) throw new CfsError("Corrupt", `a header of ${length} bytes is too large`);
  return PREFIX_SIZE + length;
}

/**
 * @param bytes the header with its prefix, and nothing more.
 * @throws CfsError Corrupt when it is not in normal form, or neither that of a regular file nor of a symbolic link.
 */
export function parseArchiveHeader(bytes: Uint8Array): ArchiveHeader {
  if (archiveHeaderLength(bytes) !== bytes.length)
    throw new CfsError("Corrupt", "the file ends inside its header");
  let fields: Value;
  try {
    fields = readGVariant(ARCHIVED, bytes.subarray(PREFIX_SIZE));
  } catch (error) {
    throw withContext("file header", error);
  }
  const [size, uid, gid, mode, rdev, target, xattrs] = fields as [
    bigint,
    number,
    number,
    number,
    number,
    string,
    Value,
  ];
  if (rdev !== 0) throw new CfsError("Corrupt", "file header: devices can't be in a commit");
  const header: FileHeader = {
    uid: swap32(uid),
    gid: swap32(gid),
    mode: swap32(mode),
    target: fromText(target),
    xattrs: xattrPairs(xattrs, "file header"),
  };
  checkMode(header);
  const bytesOfContent = swap64(size);
  if (bytesOfContent > BigInt(Number.MAX_SAFE_INTEGER))
    throw new CfsError("Corrupt", `file header: a size of ${bytesOfContent} bytes is impossible`);
  if (isSymlink(header) && bytesOfContent !== 0n)
    throw new CfsError("Corrupt", "file header: a symbolic link with content");
  return { header, size: Number(bytesOfContent) };
}

/** @throws CfsError Corrupt when it is neither that of a regular file nor of a symbolic link. */
export function checkMode({ mode, target }: FileHeader): void {
  const type = mode & S_IFMT;
  if ((type !== S_IFREG && type !== S_IFLNK) || mode > 0o177777) {
    const found = `mode 0${mode.toString(8)}`;
    throw new CfsError("Corrupt", `file header: ${found} is neither that of a file nor of a symbolic link`);
  }
  if (type === S_IFREG && target !== "")
    throw new CfsError("Corrupt", "file header: a regular file with the target of a symbolic link");
}

/** The header that archives have. @param size of the content in bytes. */
export function encodeArchiveHeader(header: FileHeader, size: number): Uint8Array<ArrayBuffer> {
  return withPrefix(writeGVariant(ARCHIVED, [swap64(BigInt(size)), ...commonFields(header)]));
}

/** The header that the checksum covers, before the content. */
export function encodeHashedHeader(header: FileHeader): Uint8Array<ArrayBuffer> {
  return withPrefix(writeGVariant(HASHED, commonFields(header)));
}

/** Computes the checksum of a file from its header and then its content. */
export class FileHasher {
  readonly #hasher = new Bun.CryptoHasher("sha256");

  constructor(header: FileHeader) {
    this.#hasher.update(encodeHashedHeader(header));
  }

  /** @param content the next bytes of it. */
  update(content: Uint8Array<ArrayBufferLike>): void {
    this.#hasher.update(content as Uint8Array<ArrayBuffer>);
  }

  digest(): Checksum {
    return checksumOf(this.#hasher.digest());
  }
}

function commonFields({ uid, gid, mode, target, xattrs }: FileHeader): Value[] {
  const text = toText(target);
  if (text === undefined) {
    const message = `the symbolic link's target '${display(target)}' is not UTF-8, which ostree demands`;
    throw new CfsError("Unsupported", message);
  }
  return [swap32(uid), swap32(gid), swap32(mode), 0, text, xattrValue(xattrs)];
}

function withPrefix(variant: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PREFIX_SIZE + variant.length);
  new DataView(bytes.buffer).setUint32(0, variant.length, false);
  bytes.set(variant, PREFIX_SIZE);
  return bytes;
}
