import { type ByteString, display, toText } from "../bytes.ts";
import type { SparseFile, SparseRun } from "./entry.ts";
import { checkedSize, invalidTar, type TarWindow } from "./header.ts";
import { MAX_SPARSE_RUNS, parseRunList, sparseFile } from "./sparse.ts";

const XATTR_PREFIX = "SCHILY.xattr.";

/** What the extended header of one entry overrides (POSIX.1-2001 pax format, GNU and SCHILY keywords). */
export interface PaxOverrides {
  path?: ByteString;
  linkPath?: ByteString;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: bigint;
  mtimeNsec?: number;
  xattrs?: Map<ByteString, ByteString>;
  sparse?: PaxSparse;
}

/** GNU.sparse.* of the formats 0.0, 0.1 and 1.0, as found. */
interface PaxSparse {
  name?: ByteString;
  realSize?: number;
  isVersion1?: boolean;
  map?: ByteString;
  /** offset, numbytes, offset, … of format 0.0. */
  pairs: number[];
}

/**
 * Reads the records `<length> <key>=<value>\n` in [start, end).
 * A record whose length is no number ends the list silently, as in other readers.
 * @throws CfsError Invalid
 */
export function parsePax(window: TarWindow, start: number, end: number): PaxOverrides {
  const { bytes } = window;
  const found: PaxOverrides = {};
  for (let at = start; at < end; ) {
    let space = at;
    let length = 0;
    while (space < end && isDigit(bytes[space]!)) length = length * 10 + bytes[space++]! - 0x30;
    if (space === at || space === end || bytes[space] !== 0x20) break;
    const next = at + length;
    if (next > end || next <= space + 1 || bytes[next - 1] !== 0x0a) throw malformed();
    const equals = bytes.indexOf(0x3d, space + 1);
    if (equals < 0 || equals >= next) throw malformed();
    const key = window.text(space + 1, equals);
    if (toText(key) === undefined) throw invalidTar(`PAX key is not UTF-8: "${display(key)}"`);
    apply(found, key, window.text(equals + 1, next - 1));
    at = next;
  }
  return found;
}

function malformed(): Error {
  return invalidTar("PAX error: malformed PAX extension record");
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function apply(found: PaxOverrides, key: ByteString, value: ByteString): void {
  switch (key) {
    case "path":
      found.path = value;
      return;
    case "linkpath":
      found.linkPath = value;
      return;
    case "size":
      found.size = checkedSize(unsigned(key, value));
      return;
    case "uid":
      found.uid = Number(unsigned(key, value) & 0xffff_ffffn);
      return;
    case "gid":
      found.gid = Number(unsigned(key, value) & 0xffff_ffffn);
      return;
    case "mtime":
      setMtime(found, value);
      return;
  }
  if (key.startsWith(XATTR_PREFIX)) {
    found.xattrs ??= new Map();
    found.xattrs.set(key.slice(XATTR_PREFIX.length), value);
  } else if (key.startsWith("GNU.sparse.")) {
    found.sparse ??= { pairs: [] };
    setSparse(found.sparse, key, value);
  }
}

function unsigned(key: string, value: ByteString): bigint {
  const number = /^\+?[0-9]{1,40}$/.test(value) ? BigInt(value.replace("+", "")) : -1n;
  if (number < 0n || number > 0xffff_ffff_ffff_ffffn)
    throw invalidTar(`invalid PAX ${key} value: "${display(value)}"`);
  return number;
}

/**
 * Seconds with a fraction. With several records the last one gives the seconds and the first one the nanoseconds:
 * composefs images made by others depend on it.
 */
function setMtime(found: PaxOverrides, value: ByteString): void {
  const dot = value.indexOf(".");
  const whole = dot < 0 ? value : value.slice(0, dot);
  const fraction = dot < 0 ? "" : value.slice(dot + 1, dot + 10);
  const nsec = /^[0-9]+$/.test(fraction) ? Number(fraction.padEnd(9, "0")) : 0;
  if (!whole.startsWith("-")) {
    found.mtime = BigInt.asIntN(64, unsigned("mtime", whole));
    found.mtimeNsec ??= nsec;
    return;
  }
  const magnitude = /^-[0-9]{1,20}$/.test(whole) ? BigInt(whole) : 1n;
  if (magnitude > 0n || magnitude < -(1n << 63n))
    throw invalidTar(`invalid PAX mtime value: "${display(value)}"`);
  found.mtime = nsec === 0 ? magnitude : magnitude - 1n;
  found.mtimeNsec ??= nsec === 0 ? 0 : 1_000_000_000 - nsec;
}

function setSparse(sparse: PaxSparse, key: ByteString, value: ByteString): void {
  switch (key) {
    case "GNU.sparse.name":
      sparse.name = value;
      return;
    case "GNU.sparse.size":
    case "GNU.sparse.realsize":
      sparse.realSize = checkedSize(unsigned(key, value));
      return;
    case "GNU.sparse.major":
      sparse.isVersion1 = unsigned(key, value) === 1n;
      return;
    case "GNU.sparse.map":
      sparse.map = value;
      return;
    case "GNU.sparse.offset":
    case "GNU.sparse.numbytes":
      if (sparse.pairs.length % 2 !== (key === "GNU.sparse.offset" ? 0 : 1))
        throw invalidTar("sparse map: offsets and sizes do not alternate");
      if (sparse.pairs.length >= 2 * MAX_SPARSE_RUNS) throw invalidTar("sparse map has too many entries");
      sparse.pairs.push(checkedSize(unsigned(key, value)));
      return;
  }
}

/** The sparse file that GNU.sparse.* keywords describe. @param storedSize bytes of the entry's body. */
export function paxSparseFile(sparse: PaxSparse, storedSize: number): SparseFile | undefined {
  const realSize = sparse.realSize;
  if (sparse.isVersion1) {
    if (realSize === undefined) throw invalidTar("sparse file without an expanded size");
    return { realSize, runs: "in-body" };
  }
  if (sparse.map === undefined && sparse.pairs.length === 0 && realSize === undefined) return undefined;
  if (realSize === undefined) throw invalidTar("sparse file without an expanded size");
  const runs = sparse.map === undefined ? pairsToRuns(sparse.pairs) : parseRunList(sparse.map.split(","));
  return sparseFile(realSize, runs, storedSize);
}

function pairsToRuns(pairs: readonly number[]): SparseRun[] {
  if (pairs.length % 2 !== 0) throw invalidTar("sparse map: the last offset has no size");
  const runs: SparseRun[] = [];
  for (let i = 0; i < pairs.length; i += 2) runs.push({ offset: pairs[i]!, length: pairs[i + 1]! });
  return runs;
}
