import type { ByteString } from "../bytes.ts";
import { INLINE_LIMIT, NO_XATTRS, type Xattrs } from "../tree/model.ts";

export type TarType =
  | "file"
  | "hardlink"
  | "symlink"
  | "char"
  | "block"
  | "directory"
  | "fifo"
  /** A kind that is stored but can't become part of a tree; `typeflag` tells which. */
  | "other";

/** A run of stored data of a sparse file. Both in bytes. */
export interface SparseRun {
  readonly offset: number;
  readonly length: number;
}

export interface SparseFile {
  /** Size of the expanded file in bytes. */
  readonly realSize: number;
  /** Where the stored data goes, ascending; "in-body": the stored data begins with the map (PAX sparse format 1.0). */
  readonly runs: readonly SparseRun[] | "in-body";
}

/** One entry of an archive: what its headers say. */
export interface TarEntry {
  /** As in the archive; not empty. */
  path: ByteString;
  /** Target of a link, or "". */
  linkName: ByteString;
  type: TarType;
  /** The byte in the header: 0x30 for "0". */
  typeflag: number;
  /** 32 bits, not masked. */
  mode: number;
  uid: number;
  gid: number;
  mtime: bigint;
  mtimeNsec: number;
  /** Stored bytes of the body. 2^53 - 1 stands for anything larger, which no archive can hold. */
  size: number;
  /** Device number in the kernel's 64-bit encoding; undefined in headers that have no such field. */
  rdev: bigint | undefined;
  xattrs: Xattrs;
  sparse: SparseFile | undefined;
}

/** Whether the body is stored as an object of its own instead of inline. */
export function isExternal(entry: TarEntry): boolean {
  return entry.size > INLINE_LIMIT && entry.type === "file";
}

export function emptyEntry(): TarEntry {
  return {
    path: "",
    linkName: "",
    type: "file",
    typeflag: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0n,
    mtimeNsec: 0,
    size: 0,
    rdev: undefined,
    xattrs: NO_XATTRS,
    sparse: undefined,
  };
}
