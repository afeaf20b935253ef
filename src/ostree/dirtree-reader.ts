import { type ByteString, toText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { CHECKSUM_SIZE } from "./checksum.ts";
import { offsetWidth } from "./gvariant-type.ts";

/** Told of every row of a dirtree, in their order. All numbers are positions in the buffer that is read. */
export interface DirTreeVisitor {
  /** @param nameEnd where the NUL is. @param checksum where that of the file begins. */
  file(nameStart: number, nameEnd: number, checksum: number): void;
  /** @param tree where the checksum of the dirtree begins. @param meta the same of the dirmeta. */
  directory(nameStart: number, nameEnd: number, tree: number, meta: number): void;
}

/**
 * Reads a dirtree, `(a(say)a(sayay))`, from a part of a buffer. There is a row for every name of a commit, and the
 * general reader of GVariants takes several times as long; with `dirTreeName`, what is accepted is the same.
 * @throws CfsError Corrupt when it is not in normal form, or a checksum has the wrong length.
 */
export function visitDirTree(buffer: Buffer, start: number, limit: number, visitor: DirTreeVisitor): void {
  // Nothing at all is taken for the two empty arrays: there are commits with such a directory.
  if (limit === start) return;
  const width = framingWidth(start, limit, 1);
  const end = limit - width;
  const filesEnd = start + offsetAt(buffer, end, width);
  if (filesEnd > end) throw notNormal();
  visitRows(buffer, start, filesEnd, (from, to) => {
    const width = framingWidth(from, to, 1);
    const end = to - width;
    const nameEnd = from + offsetAt(buffer, end, width);
    expectChecksum(nameEnd, end);
    visitor.file(from, checkedNameEnd(buffer, from, nameEnd), nameEnd);
  });
  visitRows(buffer, filesEnd, end, (from, to) => {
    const width = framingWidth(from, to, 2);
    const end = to - 2 * width;
    const nameEnd = from + offsetAt(buffer, to - width, width);
    const middle = from + offsetAt(buffer, end, width);
    if (nameEnd > end || middle < nameEnd || middle > end) throw notNormal();
    expectChecksum(nameEnd, middle);
    expectChecksum(middle, end);
    visitor.directory(from, checkedNameEnd(buffer, from, nameEnd), nameEnd, middle);
  });
}

/** The name in a row. @throws CfsError Corrupt when it is not UTF-8 or has a NUL inside. */
export function dirTreeName(buffer: Buffer, start: number, end: number): ByteString {
  const name = buffer.latin1Slice(start, end);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters of one byte in UTF-8
  if (/^[\x01-\x7f]*$/.test(name)) return name;
  if (name.includes("\0") || toText(name) === undefined) throw notNormal();
  return name;
}

function notNormal(): CfsError {
  return new CfsError("Corrupt", "not a GVariant in normal form");
}

/** Bytes of each of the framing offsets at the end of a tuple. */
function framingWidth(start: number, limit: number, count: number): number {
  const size = limit - start;
  const width = size === 0 ? 8 : offsetWidth(size, 0);
  const bodySize = size - count * width;
  if (width > 4 || bodySize < 0 || offsetWidth(bodySize, count) !== width) throw notNormal();
  return width;
}

function offsetAt(buffer: Buffer, at: number, width: number): number {
  return width === 1 ? buffer[at]! : buffer.readUIntLE(at, width);
}

function visitRows(
  buffer: Buffer,
  start: number,
  limit: number,
  visit: (from: number, to: number) => void,
): void {
  const size = limit - start;
  if (size === 0) return;
  const width = offsetWidth(size, 0);
  if (width > 4 || size < width) throw notNormal();
  const table = offsetAt(buffer, limit - width, width);
  const count = (size - table) / width;
  if (count < 1 || !Number.isInteger(count) || offsetWidth(table, count) !== width) throw notNormal();
  let from = start;
  for (let at = start + table; at < limit; at += width) {
    const to = start + offsetAt(buffer, at, width);
    if (to < from || to > start + table) throw notNormal();
    visit(from, to);
    from = to;
  }
}

function checkedNameEnd(buffer: Buffer, start: number, end: number): number {
  if (end <= start || buffer[end - 1] !== 0) throw notNormal();
  return end - 1;
}

function expectChecksum(start: number, end: number): void {
  if (end < start) throw notNormal();
  if (end - start !== CHECKSUM_SIZE)
    throw new CfsError("Corrupt", `a checksum has ${end - start} bytes instead of ${CHECKSUM_SIZE}`);
}
