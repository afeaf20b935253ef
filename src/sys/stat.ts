import type { Pointer } from "bun:ffi";
import { S_IFMT, S_IFREG } from "../mode.ts";
import { EINTR } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, check } from "./file.ts";
import { cstring, libc, orErrno, scratchPath } from "./libc.ts";
import { NR, pinned, syscall } from "./syscall.ts";

const STATX_BASIC_STATS = 0x7ff;
const STATX_ATTR_VERITY = 0x100000;

/** What is known about a file. Sizes are exact up to 2^53. */
export interface FileStatus {
  /** Type and permission bits. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** Bytes. */
  size: number;
  /** Units of 512 bytes that are allocated. */
  blocks: number;
  /** Exact up to 2^53; `largeIno` holds what is above. */
  ino: number;
  /** The exact number where `ino` is not, as on overlayfs, which marks inodes in the highest bits. */
  largeIno: bigint | undefined;
  devMajor: number;
  devMinor: number;
  rdevMajor: number;
  rdevMinor: number;
  /** Seconds since 1970, may be negative. */
  mtime: number;
  mtimeNsec: number;
  ctime: number;
  ctimeNsec: number;
  /** The file has fs-verity (not every file system that supports fs-verity reports it). */
  verity: boolean;
}

export function emptyStatus(): FileStatus {
  return {
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    size: 0,
    blocks: 0,
    ino: 0,
    largeIno: undefined,
    devMajor: 0,
    devMinor: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    mtime: 0,
    mtimeNsec: 0,
    ctime: 0,
    ctimeNsec: 0,
    verity: false,
  };
}

/** struct statx (include/uapi/linux/stat.h), 256 bytes. */
const statx = pinned(256);
const u32 = new Uint32Array(statx.bytes.buffer);
const i32 = new Int32Array(statx.bytes.buffer);
const u16 = new Uint16Array(statx.bytes.buffer);

const emptyPath = cstring("");

function u64At(index: number): number {
  return u32[index + 1]! * 0x1_0000_0000 + u32[index]!;
}

function i64At(index: number): number {
  return i32[index + 1]! * 0x1_0000_0000 + u32[index]!;
}

function callStatx(dirfd: number, path: Uint8Array, flags: number, out: FileStatus): number {
  for (;;) {
    const result = orErrno(
      libc.syscall(NR.statx, dirfd, path, flags, STATX_BASIC_STATS, statx.address as Pointer, 0),
    );
    if (result === -EINTR) continue;
    if (result < 0) return result;
    out.verity = (u32[2]! & STATX_ATTR_VERITY) !== 0;
    out.nlink = u32[4]!;
    out.uid = u32[5]!;
    out.gid = u32[6]!;
    out.mode = u16[14]!;
    out.ino = u64At(8);
    out.largeIno = out.ino > Number.MAX_SAFE_INTEGER ? (BigInt(u32[9]!) << 32n) | BigInt(u32[8]!) : undefined;
    out.size = u64At(10);
    out.blocks = u64At(12);
    out.ctime = i64At(24);
    out.ctimeNsec = u32[26]!;
    out.mtime = i64At(28);
    out.mtimeNsec = u32[30]!;
    out.rdevMajor = u32[32]!;
    out.rdevMinor = u32[33]!;
    out.devMajor = u32[34]!;
    out.devMinor = u32[35]!;
    return 0;
  }
}

/**
 * Fills `out`; 0 or the negative errno, never an exception: for hot paths, where a missing file is nothing special.
 * A final symbolic link is not followed unless `flags` is 0.
 */
export function tryFstatat(
  dirfd: number,
  path: string,
  out: FileStatus,
  flags: number = AT_SYMLINK_NOFOLLOW,
): number {
  return callStatx(dirfd, scratchPath(path), flags, out);
}

/** As `tryFstatat`, for a name that is in memory already. @param path ends with NUL. */
export function tryFstatatBytes(dirfd: number, path: Uint8Array, out: FileStatus): number {
  return callStatx(dirfd, path, AT_SYMLINK_NOFOLLOW, out);
}

/** As `tryFstatat`, for an open file. */
export function tryFstat(fd: number, out: FileStatus): number {
  return callStatx(fd, emptyPath, AT_EMPTY_PATH, out);
}

export function fstat(fd: Fd): FileStatus {
  const out = emptyStatus();
  check(tryFstat(fd.fd, out), "statx", fd.path);
  return out;
}

export function isRegular(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === S_IFREG;
}

export interface FileSystemStatus {
  /** Magic number of the file system (include/uapi/linux/magic.h). */
  type: number;
  /** Bytes. */
  totalBytes: number;
  /** Bytes that a process without privileges may still use. */
  availableBytes: number;
  /** Inodes that are left; 0 where the file system does not count them. */
  freeInodes: number;
  readOnly: boolean;
}

const ST_RDONLY = 1;

/** The file system that holds `fd` (struct statfs of 64-bit Linux, 120 bytes). */
export function fstatfs(fd: Fd): FileSystemStatus {
  const buffer = new BigUint64Array(15);
  check(syscall(NR.fstatfs, fd.fd, buffer), "fstatfs", fd.path);
  const fragment = Number(buffer[9]) || Number(buffer[1]);
  return {
    type: Number(buffer[0]! & 0xffffffffn),
    totalBytes: Number(buffer[2]) * fragment,
    availableBytes: Number(buffer[4]) * fragment,
    freeInodes: Number(buffer[6]),
    readOnly: (Number(buffer[10]! & 0xffffffffn) & ST_RDONLY) !== 0,
  };
}
