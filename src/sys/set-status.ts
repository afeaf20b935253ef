import { SysError } from "./errno.ts";
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, check } from "./file.ts";
import { cstring, libc, orErrno, scratchPath } from "./libc.ts";

/** A file to be changed: open, or a name in an open directory, where symbolic links are not followed. */
export type Target = { readonly fd: number } | { readonly dirfd: number; readonly name: string };

/** @throws SysError EPERM for who may not give files away. */
export function setOwner(target: Target, uid: number, gid: number, label: string): void {
  const result =
    "fd" in target
      ? libc.fchownat(target.fd, scratchPath(""), uid, gid, AT_EMPTY_PATH)
      : libc.fchownat(target.dirfd, scratchPath(target.name), uid, gid, AT_SYMLINK_NOFOLLOW);
  check(orErrno(result), "fchownat", label);
}

/** @param mode permission bits. */
export function setMode(fd: number, mode: number, label: string): void {
  check(orErrno(libc.fchmod(fd, mode)), "fchmod", label);
}

/** Sets the times of last access and modification. @param seconds since 1970. */
export function setTime(target: Target, seconds: number, label: string): void {
  // Two times, each of two 64-bit numbers: seconds and nanoseconds (struct timespec).
  const times = new BigInt64Array([BigInt(seconds), 0n, BigInt(seconds), 0n]);
  const result =
    "fd" in target
      ? libc.futimens(target.fd, times)
      : libc.utimensat(target.dirfd, cstring(target.name), times, AT_SYMLINK_NOFOLLOW);
  check(orErrno(result), "utimensat", label);
}

/** Sets an extended attribute. For names in directories it needs /proc. */
export function setXattr(target: Target, name: string, value: Uint8Array, label: string): void {
  const key = cstring(name);
  // An address is needed even of nothing.
  const bytes = value.length === 0 ? new Uint8Array(1) : value;
  const result = orErrno(
    "fd" in target
      ? libc.fsetxattr(target.fd, key, bytes, value.length, 0)
      : libc.lsetxattr(cstring(`/proc/self/fd/${target.dirfd}/${target.name}`), key, bytes, value.length, 0),
  );
  if (result < 0) throw new SysError(-result, "setxattr", label);
}
