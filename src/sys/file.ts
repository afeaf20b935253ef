import { display } from "../bytes.ts";
import {
  EAGAIN,
  EEXIST,
  EFBIG,
  EINTR,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOSYS,
  EOPNOTSUPP,
  SysError,
} from "./errno.ts";
import { Fd } from "./fd.ts";
import { cstring, libc, orErrno, scratchPath } from "./libc.ts";

const arm64 = process.arch === "arm64";

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0x40;
export const O_EXCL = 0x80;
export const O_APPEND = 0x400;
export const O_NONBLOCK = 0x800;
export const O_DIRECTORY = arm64 ? 0x4000 : 0x10000;
export const O_NOFOLLOW = arm64 ? 0x8000 : 0x20000;
export const O_CLOEXEC = 0x80000;
export const O_PATH = 0x200000;
export const O_TMPFILE = arm64 ? 0x404000 : 0x410000;

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

export const W_OK = 2;

type Bytes = Uint8Array<ArrayBufferLike>;

/** Opens below a directory descriptor. Paths are byte strings. O_CLOEXEC is always set. */
export function openat(dirfd: number, path: string, flags: number, mode = 0, label = display(path)): Fd {
  return new Fd(check(tryOpenat(dirfd, path, flags, mode), "openat", label), label);
}

/** As `openat`, but the number or the negative errno. */
export function tryOpenat(dirfd: number, path: string, flags: number, mode = 0): number {
  const buffer = scratchPath(path);
  for (;;) {
    const result = orErrno(libc.openat(dirfd, buffer, flags | O_CLOEXEC, mode));
    if (result !== -EINTR) return result;
  }
}

/** Whether this result of opening with O_TMPFILE says that the file system has no files without a name. */
export function lacksUnnamedFiles(result: number): boolean {
  return result === -EOPNOTSUPP || result === -EISDIR || result === -ENOSYS;
}

/** Opens by path. `path` is text (UTF-8). */
export function open(path: string, flags: number, mode = 0): Fd {
  return openat(AT_FDCWD, pathBytes(path), flags, mode, path);
}

/** A text path as the byte string that system calls take. @throws SysError EINVAL for a NUL inside. */
export function pathBytes(path: string): string {
  if (path.includes("\0")) throw new SysError(EINVAL, "path", display(path));
  return Buffer.from(path, "utf8").latin1Slice();
}

/** Throws SysError when `result` is a negative errno. */
export function check(result: number, syscall: string, path?: string): number {
  if (result < 0) throw new SysError(-result, syscall, path);
  return result;
}

/** Reads up to `buffer.length` bytes at `offset`; short only at the end of the file. */
export function pread(fd: number, buffer: Bytes, offset: number, path?: string): number {
  return check(tryPread(fd, buffer, offset), "pread", path);
}

/** The same, but an error is returned as the negative errno. */
export function tryPread(fd: number, buffer: Bytes, offset: number): number {
  let done = 0;
  while (done < buffer.length) {
    const n = orErrno(
      libc.pread(fd, done === 0 ? buffer : buffer.subarray(done), buffer.length - done, offset + done),
    );
    if (n === -EINTR) continue;
    if (n < 0) return n;
    if (n === 0) break;
    done += n;
  }
  return done;
}

/** Reads what is there, once; 0 at the end. */
export function read(fd: number, buffer: Bytes, path?: string): number {
  for (;;) {
    const n = orErrno(libc.read(fd, buffer, buffer.length));
    if (n !== -EINTR) return check(n, "read", path);
  }
}

/**
 * So much is written by one call. The page cache gets memory in pieces of the size of the call, and large ones cost
 * more than the calls they save (Linux 6.12 on ext4, 400 MB: 1.0 s by the MiB, 0.1 s by 64 KiB).
 */
const WRITE_SIZE = 64 * 1024;

export function pwriteAll(fd: number, buffer: Bytes, offset: number, path?: string): void {
  let done = 0;
  while (done < buffer.length) {
    const size = Math.min(WRITE_SIZE, buffer.length - done);
    const n = orErrno(libc.pwrite(fd, done === 0 ? buffer : buffer.subarray(done), size, offset + done));
    if (n === -EINTR) continue;
    done += check(n, "write", path);
  }
}

export function writeAll(fd: number, buffer: Bytes, path?: string): void {
  let done = 0;
  while (done < buffer.length) {
    const size = Math.min(WRITE_SIZE, buffer.length - done);
    const n = orErrno(libc.write(fd, done === 0 ? buffer : buffer.subarray(done), size));
    if (n === -EINTR) continue;
    done += check(n, "write", path);
  }
}

/** Writes to a file opened with O_APPEND: what several threads write at once does not get mixed. */
export function append(fd: number, buffer: Bytes, path?: string): void {
  let done = 0;
  while (done < buffer.length) {
    const n = orErrno(libc.write(fd, done === 0 ? buffer : buffer.subarray(done), buffer.length - done));
    if (n === -EINTR) continue;
    done += check(n, "write", path);
  }
}

/** Reads a whole small file. @throws SysError EFBIG when it is larger than `max` bytes. */
export function readSmallFile(fd: Fd, max: number): Uint8Array<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const chunk = new Uint8Array(Math.min(65536, max + 1 - total));
    const n = pread(fd.fd, chunk, total, fd.path);
    total += n;
    if (total > max) throw new SysError(EFBIG, "read", fd.path);
    chunks.push(chunk.subarray(0, n));
    if (n < chunk.length) return new Uint8Array(Buffer.concat(chunks));
  }
}

/** Creates a directory; false when it exists. */
export function mkdirat(dirfd: number, path: string, mode: number): boolean {
  const result = orErrno(libc.mkdirat(dirfd, cstring(path), mode));
  if (result === -EEXIST) return false;
  check(result, "mkdirat", display(path));
  return true;
}

/** Target of a symbolic link, or undefined when the path does not exist. */
export function readlinkat(dirfd: number, path: string): string | undefined {
  const buffer = Buffer.allocUnsafe(4096);
  const n = orErrno(libc.readlinkat(dirfd, cstring(path), buffer, buffer.length));
  if (n === -ENOENT) return undefined;
  return buffer.latin1Slice(0, check(n, "readlinkat", display(path)));
}

/** Whether the path exists, following links. Errors other than ENOENT are thrown. */
export function existsat(dirfd: number, path: string): boolean {
  const result = orErrno(libc.faccessat(dirfd, cstring(path), 0, 0));
  if (result === -ENOENT) return false;
  check(result, "faccessat", display(path));
  return true;
}

/** Asks whether the path exists (0), links followed, and may be used so (W_OK): 0 or the negative errno. */
export function tryAccessat(dirfd: number, path: string, mode: number): number {
  return orErrno(libc.faccessat(dirfd, cstring(path), mode, 0));
}

/** Removes a name; false when it was not there. */
export function unlinkat(dirfd: number, path: string, flags = 0): boolean {
  const result = orErrno(libc.unlinkat(dirfd, cstring(path), flags));
  if (result === -ENOENT) return false;
  check(result, "unlinkat", display(path));
  return true;
}

/** Creates a symbolic link; false when the name exists. */
export function symlinkat(target: string, dirfd: number, path: string): boolean {
  const result = orErrno(libc.symlinkat(cstring(target), dirfd, cstring(path)));
  if (result === -EEXIST) return false;
  check(result, "symlinkat", display(path));
  return true;
}

export function renameat(fromDir: number, from: string, toDir: number, to: string): void {
  check(orErrno(libc.renameat(fromDir, cstring(from), toDir, cstring(to))), "renameat", display(to));
}

/** Gives a name to an open file (O_TMPFILE); false when the name exists. */
export function linkFd(fd: number, dirfd: number, path: string): boolean {
  const from = cstring(`/proc/self/fd/${fd}`);
  const result = orErrno(libc.linkat(AT_FDCWD, from, dirfd, scratchPath(path), AT_SYMLINK_FOLLOW));
  if (result === -EEXIST) return false;
  check(result, "linkat", display(path));
  return true;
}

export function ftruncate(fd: Fd, length: number): void {
  check(orErrno(libc.ftruncate(fd.fd, length)), "ftruncate", fd.path);
}

export function fsync(fd: Fd): void {
  check(orErrno(libc.fsync(fd.fd)), "fsync", fd.path);
}

/** Writes back everything of the file system that holds `fd`. */
export function syncfs(fd: Fd): void {
  check(orErrno(libc.syncfs(fd.fd)), "syncfs", fd.path);
}

/** Takes or converts a lock on an open file; false when LOCK_NB is set and somebody else holds it. */
export function flock(fd: Fd, operation: number): boolean {
  for (;;) {
    const result = orErrno(libc.flock(fd.fd, operation));
    if (result === -EINTR) continue;
    if (result === -EAGAIN && (operation & LOCK_NB) !== 0) return false;
    check(result, "flock", fd.path);
    return true;
  }
}
