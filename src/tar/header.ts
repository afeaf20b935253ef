import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { TarType } from "./entry.ts";

/**
 * Header blocks of tar archives in the v7, ustar (POSIX.1-1988) and old GNU forms.
 *
 *   offset  size
 *        0   100  name
 *      100     8  mode
 *      108     8  uid
 *      116     8  gid
 *      124    12  size
 *      136    12  mtime
 *      148     8  checksum: sum of all bytes with this field as spaces
 *      156     1  type
 *      157   100  link name
 *      257     8  magic and version: "ustar\0" "00" or "ustar " " \0", else v7
 *      329     8  device major     (not v7)
 *      337     8  device minor     (not v7)
 *      345   155  prefix of name   (ustar only)
 *      386    96  sparse map       (GNU only)
 *      482     1  more sparse map blocks follow (GNU only)
 *      483    12  expanded size    (GNU only)
 */
export const BLOCK = 512;

const NAME = 0;
const MODE = 100;
const UID = 108;
const GID = 116;
const SIZE = 124;
const MTIME = 136;
const CHECKSUM = 148;
const TYPE = 156;
const LINK_NAME = 157;
const MAGIC = 257;
const DEV_MAJOR = 329;
const DEV_MINOR = 337;
const PREFIX = 345;

export type HeaderFormat = "v7" | "ustar" | "gnu";

const TWO_32 = 0x1_0000_0000;

/** How an error in an archive is reported. */
export function invalidTar(message: string): CfsError {
  return new CfsError("Invalid", message);
}

/** The memory that headers are read from, with the views that make it fast. */
export class TarWindow {
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly #text: Buffer<ArrayBufferLike>;
  readonly #words: Uint32Array;

  constructor(bytes: Uint8Array<ArrayBufferLike>) {
    this.bytes = bytes;
    this.#text = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
    this.#words = new Uint32Array(bytes.buffer, 0, bytes.buffer.byteLength >> 2);
  }

  text(start: number, end: number): ByteString {
    return this.#text.latin1Slice(start, end);
  }

  /** The field's bytes up to the first NUL. */
  field(at: number, length: number): ByteString {
    const { bytes } = this;
    const limit = at + length;
    let end = at;
    while (end < limit && bytes[end] !== 0) end++;
    return end === at ? "" : this.#text.latin1Slice(at, end);
  }

  /** Sum of the 512 bytes of a block; 0 means that all are zero. */
  sum(at: number): number {
    const offset = this.bytes.byteOffset + at;
    if ((offset & 3) !== 0 || offset + BLOCK > this.#words.length * 4) return sumBytes(this.bytes, at);
    // Two 16-bit lanes: 256 bytes of 255 are 65280 and can't overflow one.
    const words = this.#words;
    let lanes = 0;
    for (let i = offset >> 2, end = i + BLOCK / 4; i < end; i++) {
      const word = words[i]!;
      lanes += (word & 0xff00ff) + ((word >>> 8) & 0xff00ff);
    }
    return (lanes & 0xffff) + (lanes >>> 16);
  }
}

function sumBytes(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = at; i < at + BLOCK; i++) sum += bytes[i]!;
  return sum;
}

/** @throws CfsError Invalid when the checksum field does not match `sum`, the sum of the block's bytes. */
export function verifyChecksum(window: TarWindow, at: number, sum: number): void {
  const { bytes } = window;
  const expected = octal(bytes, at + CHECKSUM, 8);
  let computed = sum + 8 * 0x20;
  for (let i = at + CHECKSUM; i < at + CHECKSUM + 8; i++) computed -= bytes[i]!;
  if (computed !== expected)
    throw invalidTar(`header error: checksum mismatch: expected ${expected}, computed ${computed}`);
}

const USTAR = [0x75, 0x73, 0x74, 0x61, 0x72];

export function headerFormat(bytes: Uint8Array, at: number): HeaderFormat {
  const magic = at + MAGIC;
  for (let i = 0; i < USTAR.length; i++) if (bytes[magic + i] !== USTAR[i]) return "v7";
  const [a, b, c] = [bytes[magic + 5]!, bytes[magic + 6]!, bytes[magic + 7]!];
  if (a === 0 && b === 0x30 && c === 0x30) return "ustar";
  return a === 0x20 && b === 0x20 && c === 0 ? "gnu" : "v7";
}

export function typeflagOf(bytes: Uint8Array, at: number): number {
  return bytes[at + TYPE]!;
}

export function typeOf(typeflag: number): TarType {
  switch (typeflag) {
    case 0:
    case 0x30: // "0"
    case 0x37: // "7", contiguous
      return "file";
    case 0x31:
      return "hardlink";
    case 0x32:
      return "symlink";
    case 0x33:
      return "char";
    case 0x34:
      return "block";
    case 0x35:
      return "directory";
    case 0x36:
      return "fifo";
    default:
      return "other";
  }
}

export function nameOf(window: TarWindow, at: number, format: HeaderFormat): ByteString {
  const name = window.field(at + NAME, 100);
  if (format !== "ustar" || window.bytes[at + PREFIX] === 0) return name;
  return `${window.field(at + PREFIX, 155)}/${name}`;
}

export function linkNameOf(window: TarWindow, at: number): ByteString {
  return window.field(at + LINK_NAME, 100);
}

export function modeOf(bytes: Uint8Array, at: number): number {
  return numeric(bytes, at + MODE, 8) >>> 0;
}

export function uidOf(bytes: Uint8Array, at: number): number {
  return lowWord(bytes, at + UID);
}

export function gidOf(bytes: Uint8Array, at: number): number {
  return lowWord(bytes, at + GID);
}

/**
 * Size of the body. 2^53 - 1 for anything larger.
 * @throws CfsError Invalid when the size rounded up to whole blocks does not fit 64 bits.
 */
export function sizeOf(bytes: Uint8Array, at: number): number {
  const offset = at + SIZE;
  if (bytes[offset]! < 0x80) return octal(bytes, offset, 12);
  return checkedSize(base256(bytes, offset, 12));
}

/** As `sizeOf`, for a size given as an unsigned 64-bit value. */
export function checkedSize(size: bigint): number {
  if (size > 0xffff_ffff_ffff_fe00n) throw invalidTar(`invalid entry size: ${size}`);
  return size > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(size);
}

/** Seconds, signed. */
export function mtimeOf(bytes: Uint8Array, at: number): bigint {
  const offset = at + MTIME;
  if (bytes[offset]! < 0x80) return BigInt(octal(bytes, offset, 12));
  return BigInt.asIntN(64, base256(bytes, offset, 12));
}

/** Device number of a ustar or GNU header, in the kernel's 64-bit encoding. */
export function rdevOf(bytes: Uint8Array, at: number): bigint {
  const major = BigInt(octal(bytes, at + DEV_MAJOR, 8));
  const minor = BigInt(octal(bytes, at + DEV_MINOR, 8));
  return (
    ((major & 0xffff_f000n) << 32n) |
    ((major & 0xfffn) << 8n) |
    ((minor & 0xffff_ff00n) << 12n) |
    (minor & 0xffn)
  );
}

/** Fails as `rdevOf` would: the fields must be readable in every ustar and GNU header. */
export function checkDeviceFields(bytes: Uint8Array, at: number): void {
  octal(bytes, at + DEV_MAJOR, 8);
  octal(bytes, at + DEV_MINOR, 8);
}

/** A number that is octal text or, with the top bit set, big-endian binary; the low 64 bits of it. */
export function numeric64(bytes: Uint8Array, at: number, length: number): bigint {
  return bytes[at]! < 0x80 ? BigInt(octal(bytes, at, length)) : base256(bytes, at, length);
}

function numeric(bytes: Uint8Array, at: number, length: number): number {
  return bytes[at]! < 0x80 ? octal(bytes, at, length) : Number(base256(bytes, at, length) & 0xffff_ffffn);
}

function lowWord(bytes: Uint8Array, at: number): number {
  const value = numeric(bytes, at, 8);
  return value < TWO_32 ? value : value % TWO_32;
}

function base256(bytes: Uint8Array, at: number, length: number): bigint {
  let value = BigInt(bytes[at]! & 0x7f);
  for (let i = at + 1; i < at + length; i++) value = (value << 8n) | BigInt(bytes[i]!);
  return BigInt.asUintN(64, value);
}

/** Octal text up to the first NUL, with white space around it; nothing at all is 0. At most 12 digits: exact. */
function octal(bytes: Uint8Array, at: number, length: number): number {
  const limit = at + length;
  let i = at;
  while (i < limit && isSpace(bytes[i]!)) i++;
  if (i < limit && bytes[i] === 0x2b && isOctalDigit(bytes[i + 1]!) && i + 1 < limit) i++;
  let value = 0;
  for (; i < limit; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  while (i < limit && isSpace(bytes[i]!)) i++;
  if (i < limit && bytes[i] !== 0) {
    throw invalidTar(`header error: invalid octal field: [${bytes.subarray(at, limit).join(", ")}]`);
  }
  return value;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function isOctalDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x37;
}
