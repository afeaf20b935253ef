import { type ByteString, display, fromText, toText } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { S_IFLNK, S_IFMT, S_IFREG } from "../mode.ts";
import { type Checksum, checksumOf } from "./checksum.ts";
import { readGVariant, writeGVariant } from "./gvariant.ts";
import { offsetWidth } from "./gvariant-type.ts";
import { MAX_METADATA_SIZE, type XattrPair, xattrPairs, xattrValue } from "./objects.ts";

/**
 * What an object of type file has before its content. Two forms exist: the one that is hashed, and the one that
 * repositories of mode archive store, which also has the size of the content:
 *
 *   u32 big-endian length of the variant, 4 zero bytes, the variant; then the content
 *
 * The variants are `(uuuusa(ayay))` and `(tuuuusa(ayay))`: size, uid, gid, mode, device, target, xattrs, with
 * big-endian numbers.
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
  return headerLengthAt(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
}

function headerLengthAt(buffer: Buffer, start: number, limit: number): number {
  if (limit - start < PREFIX_SIZE) throw new CfsError("Corrupt", "the file ends inside its header");
  const length = buffer.readUInt32BE(start);
  if (buffer.readUInt32BE(start + 4) !== 0) throw new CfsError("Corrupt", "the file has no header");
  if (length > MAX_METADATA_SIZE) throw new CfsError("Corrupt", `a header of ${length} bytes is too large`);
  return PREFIX_SIZE + length;
}

/**
 * @param bytes the header with its prefix, and nothing more.
 * @throws CfsError Corrupt when it is not in normal form, or neither that of a regular file nor of a symbolic link.
 */
export function parseArchiveHeader(bytes: Uint8Array): ArchiveHeader {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const { header, size, end } = readArchiveHeader(buffer, 0, buffer.length);
  if (end !== bytes.length) throw new CfsError("Corrupt", "something follows the file's header");
  return { header, size };
}

/**
 * Reads the header, with its prefix, that begins at `start` of a buffer and ends at `limit` or before.
 * @returns it, and where it ends. @throws CfsError as `parseArchiveHeader`.
 */
export function readArchiveHeader(
  buffer: Buffer,
  start: number,
  limit: number,
): ArchiveHeader & { readonly end: number } {
  const end = start + headerLengthAt(buffer, start, limit);
  if (end > limit) throw new CfsError("Corrupt", "the file ends inside its header");
  try {
    return parseArchived(buffer, start + PREFIX_SIZE, end);
  } catch (error) {
    throw withContext("file header", error);
  }
}

/** Fields of fixed size, `tuuuu`: what follows are a string, a list of xattrs and the offset of the string's end. */
const FIXED_SIZE = 24;

/** The general reader of GVariants takes several times as long, and there is a header for each file. */
function parseArchived(bytes: Buffer, start: number, end: number): ArchiveHeader & { end: number } {
  const width = offsetWidth(end - start, 0);
  const bodyEnd = end - width;
  const text = start + FIXED_SIZE;
  if (width > 4 || bodyEnd <= text || offsetWidth(bodyEnd - start, 1) !== width) throw notNormal();
  const textEnd = start + bytes.readUIntLE(bodyEnd, width);
  if (textEnd <= text || textEnd > bodyEnd || bytes[textEnd - 1] !== 0) throw notNormal();
  const header: FileHeader = {
    uid: bytes.readUInt32BE(start + 8),
    gid: bytes.readUInt32BE(start + 12),
    mode: bytes.readUInt32BE(start + 16),
    target: textEnd === text + 1 ? "" : fromText(readGVariant("s", bytes.subarray(text, textEnd)) as string),
    xattrs:
      textEnd === bodyEnd
        ? NO_PAIRS
        : xattrPairs(readGVariant("a(ayay)", bytes.subarray(textEnd, bodyEnd)), "xattrs"),
  };
  if (bytes.readUInt32BE(start + 20) !== 0) throw new CfsError("Corrupt", "devices can't be in a commit");
  checkMode(header);
  const size = bytes.readUInt32BE(start) * 0x1_0000_0000 + bytes.readUInt32BE(start + 4);
  if (!Number.isSafeInteger(size)) throw new CfsError("Corrupt", `a size of ${size} bytes is impossible`);
  if (isSymlink(header) && size !== 0) throw new CfsError("Corrupt", "a symbolic link with content");
  return { header, size, end };
}

const NO_PAIRS: readonly XattrPair[] = [];

function notNormal(): CfsError {
  return new CfsError("Corrupt", "not a GVariant in normal form");
}

/** @throws CfsError Corrupt when it is neither that of a regular file nor of a symbolic link. */
export function checkMode({ mode, target }: FileHeader): void {
  const type = mode & S_IFMT;
  if ((type !== S_IFREG && type !== S_IFLNK) || mode > 0o177777) {
    const found = `mode 0${mode.toString(8)}`;
    throw new CfsError("Corrupt", `${found} is neither that of a file nor of a symbolic link`);
  }
  if (type === S_IFREG && target !== "")
    throw new CfsError("Corrupt", "a regular file with the target of a symbolic link");
}

/** The header that archives have. @param size of the content in bytes. */
export function encodeArchiveHeader(header: FileHeader, size: number): Uint8Array<ArrayBuffer> {
  return encode(header, size);
}

/** The header that the checksum covers, before the content. */
export function encodeHashedHeader(header: FileHeader): Uint8Array<ArrayBuffer> {
  return encode(header, undefined);
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

function encode(
  { uid, gid, mode, target, xattrs }: FileHeader,
  size: number | undefined,
): Uint8Array<ArrayBuffer> {
  if (target !== "" && toText(target) === undefined) {
    const message = `the symbolic link's target '${display(target)}' is not UTF-8, which ostree demands`;
    throw new CfsError("Unsupported", message);
  }
  const list = xattrs.length === 0 ? NOTHING : writeGVariant("a(ayay)", xattrValue(xattrs));
  const fixedSize = size === undefined ? FIXED_SIZE - 8 : FIXED_SIZE;
  const textEnd = fixedSize + target.length + 1;
  const bodyEnd = textEnd + list.length;
  const width = offsetWidth(bodyEnd, 1);
  const bytes = Buffer.from(new ArrayBuffer(PREFIX_SIZE + bodyEnd + width));
  bytes.writeUInt32BE(bodyEnd + width, 0);
  if (size !== undefined) bytes.writeBigUInt64BE(BigInt(size), PREFIX_SIZE);
  const owner = PREFIX_SIZE + fixedSize - 16;
  bytes.writeUInt32BE(uid, owner);
  bytes.writeUInt32BE(gid, owner + 4);
  bytes.writeUInt32BE(mode, owner + 8);
  bytes.latin1Write(target, PREFIX_SIZE + fixedSize);
  bytes.set(list, PREFIX_SIZE + textEnd);
  bytes.writeUIntLE(textEnd, PREFIX_SIZE + bodyEnd, Math.min(width, 4));
  return new Uint8Array(bytes.buffer);
}

const NOTHING = new Uint8Array(0);
