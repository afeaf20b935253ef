import { type ByteString, toText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { CHECKSUM_SIZE, type Checksum } from "./checksum.ts";
import { offsetWidth } from "./gvariant-type.ts";

/** A row of a dirtree: a name, and one checksum or two. */
export interface DirTreeRow {
  readonly name: ByteString;
  readonly first: Checksum;
  /** The same as `first` where rows have one checksum. */
  readonly second: Checksum;
}

/**
 * Reads a dirtree, `(a(say)a(sayay))`. There is a row for every name of a commit, and the general reader of GVariants
 * takes several times as long; what is accepted is the same.
 * @throws CfsError Corrupt when it is not in normal form, or a checksum has the wrong length.
 */
export function readDirTreeRows(bytes: Uint8Array): { files: DirTreeRow[]; directories: DirTreeRow[] } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const { end, offsets } = framing(buffer, 0, buffer.length, 1);
  const filesEnd = offsets[0]!;
  return {
    files: rows(buffer, 0, filesEnd, 1),
    directories: rows(buffer, filesEnd, end, 2),
  };
}

function notNormal(): CfsError {
  return new CfsError("Corrupt", "not a GVariant in normal form");
}

/** The end of a tuple's members, and the ends of those that have a framing offset. All are absolute. */
function framing(
  buffer: Buffer,
  start: number,
  limit: number,
  count: number,
): { end: number; offsets: number[] } {
  const size = limit - start;
  const width = size === 0 ? 8 : offsetWidth(size, 0);
  const end = limit - count * width;
  if (width > 4 || end < start || offsetWidth(end - start, count) !== width) throw notNormal();
  const offsets: number[] = [];
  let last = start;
  for (let i = 1; i <= count; i++) {
    const offset = start + buffer.readUIntLE(limit - i * width, width);
    if (offset < last || offset > end) throw notNormal();
    offsets.push(offset);
    last = offset;
  }
  return { end, offsets };
}

function rows(buffer: Buffer, start: number, limit: number, checksums: 1 | 2): DirTreeRow[] {
  const found: DirTreeRow[] = [];
  const size = limit - start;
  if (size === 0) return found;
  const width = offsetWidth(size, 0);
  if (width > 4 || size < width) throw notNormal();
  const table = buffer.readUIntLE(limit - width, width);
  const count = (size - table) / width;
  if (count < 1 || !Number.isInteger(count) || offsetWidth(table, count) !== width) throw notNormal();
  let from = start;
  for (let at = start + table; at < limit; at += width) {
    const to = start + buffer.readUIntLE(at, width);
    if (to < from || to > start + table) throw notNormal();
    found.push(row(buffer, from, to, checksums));
    from = to;
  }
  return found;
}

function row(buffer: Buffer, start: number, limit: number, checksums: 1 | 2): DirTreeRow {
  const { end, offsets } = framing(buffer, start, limit, checksums);
  const nameEnd = offsets[0]!;
  if (nameEnd === start || buffer[nameEnd - 1] !== 0) throw notNormal();
  const name = buffer.latin1Slice(start, nameEnd - 1);
  if (name.includes("\0")) throw notNormal();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters of one byte in UTF-8
  if (!/^[\x01-\x7f]*$/.test(name) && toText(name) === undefined) throw notNormal();
  const middle = checksums === 1 ? end : offsets[1]!;
  const first = checksumAt(buffer, nameEnd, middle);
  return { name, first, second: checksums === 1 ? first : checksumAt(buffer, middle, end) };
}

function checksumAt(buffer: Buffer, start: number, end: number): Checksum {
  if (end - start === CHECKSUM_SIZE) return buffer.hexSlice(start, end) as Checksum;
  throw new CfsError("Corrupt", `a checksum has ${end - start} bytes instead of ${CHECKSUM_SIZE}`);
}
