import type { Pointer } from "bun:ffi";
import { type ByteString, compareBytes } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { S_IFMT } from "../mode.ts";
import { EINTR, ENOENT } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { check, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "./file.ts";
import { libc, orErrno } from "./libc.ts";
import { emptyStatus, tryFstatat } from "./stat.ts";
import { NR, pinned, syscall } from "./syscall.ts";

/** Entry types of a directory: the type bits of the mode, shifted right by 12 (include/linux/fs_types.h). */
const DT_UNKNOWN = 0;
export const DT_FIFO = 1;
export const DT_CHR = 2;
export const DT_DIR = 4;
export const DT_BLK = 6;
export const DT_REG = 8;
export const DT_LNK = 10;
export const DT_SOCK = 12;

export interface DirEntry {
  readonly name: ByteString;
  /** One of DT_*; DT_UNKNOWN only for an entry that vanished meanwhile. */
  readonly type: number;
}

const BUFFER_SIZE = 32768;
const dirents = pinned(BUFFER_SIZE);
const direntBytes = Buffer.from(dirents.bytes.buffer);

/**
 * Fills the buffer with the next records of an open directory; 0 at the end. What fits in 32 KiB is read at once, so
 * memory stays bounded however large the directory is.
 * The records are struct linux_dirent64: u64 inode, s64 offset, u16 length, u8 type, name up to NUL.
 */
function readRecords(fd: Fd): number {
  for (;;) {
    const length = orErrno(
      libc.syscall(NR.getdents64, fd.fd, dirents.address as Pointer, BUFFER_SIZE, 0, 0, 0),
    );
    if (length !== -EINTR) return check(length, "getdents64", fd.path);
  }
}

/** Makes a name of bytes, which are overwritten later. */
export type NameMaker = (bytes: Buffer, start: number, end: number) => ByteString;

const newName: NameMaker = (bytes, start, end) => bytes.latin1Slice(start, end);

export interface ReadDirectoryOptions {
  /** For who has many of these names already. */
  readonly nameOf?: NameMaker;
  /** Leaves out a name, which begins at `start` of a buffer and ends with NUL: no string is made of it. */
  readonly skip?: (bytes: Uint8Array, start: number) => boolean;
}

/** The next entries, without `.` and `..`; an empty list only at the end. */
function nextBatch(fd: Fd, { nameOf = newName, skip }: ReadDirectoryOptions): DirEntry[] {
  const batch: DirEntry[] = [];
  while (batch.length === 0) {
    const length = readRecords(fd);
    if (length === 0) break;
    for (let at = 0, next = 0; at < length; at = next) {
      next = at + direntBytes.readUInt16LE(at + 16);
      if (skip?.(direntBytes, at + 19)) continue;
      const type = direntBytes[at + 18]!;
      const name = nameOf(direntBytes, at + 19, direntBytes.indexOf(0, at + 19));
      if (name !== "." && name !== "..") batch.push({ name, type });
    }
  }
  return batch;
}

/**
 * Shows the names in an open directory, `.` and `..` too, as bytes: no string is made, which makes this several times
 * faster than `readDirectory` where only known names are looked for.
 * @param visit gets a buffer in which the name begins at `start` and ends with NUL; false ends the walk.
 */
export function visitNames(fd: Fd, visit: (bytes: Uint8Array, start: number) => boolean): void {
  for (let length = readRecords(fd); length > 0; length = readRecords(fd)) {
    for (let at = 0; at < length; at += direntBytes.readUInt16LE(at + 16)) {
      if (!visit(direntBytes, at + 19)) return;
    }
  }
}

/**
 * Walks an open directory from its beginning, in the file system's order. Several walks may be under way at a time
 * as long as each has a descriptor of its own.
 */
export function* readDirectory(fd: Fd, options: ReadDirectoryOptions = {}): Generator<DirEntry, void, void> {
  check(syscall(NR.lseek, fd.fd, 0, 0), "lseek", fd.path);
  const status = emptyStatus();
  for (;;) {
    const batch = nextBatch(fd, options);
    if (batch.length === 0) return;
    for (const entry of batch) {
      if (entry.type !== DT_UNKNOWN) {
        yield entry;
        continue;
      }
      const result = tryFstatat(fd.fd, entry.name, status);
      if (result === -ENOENT) continue;
      check(result, "statx", fd.path);
      yield { name: entry.name, type: (status.mode & S_IFMT) >> 12 };
    }
  }
}

/**
 * All entries of an open directory, sorted by the bytes of their names.
 * @throws CfsError Invalid when there are more than `max`.
 */
export function listDirectory(fd: Fd, max: number): DirEntry[] {
  const entries: DirEntry[] = [];
  for (const entry of readDirectory(fd)) {
    if (entries.length === max)
      throw new CfsError("Invalid", `${fd.path}: more than ${max} directory entries`);
    entries.push(entry);
  }
  return entries.sort((a, b) => compareBytes(a.name, b.name));
}

/** Opens a directory below `dirfd` for reading; a symbolic link as its last component is refused. */
export function openDirectory(dirfd: number, path: string, label?: string): Fd {
  return openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, label);
}
