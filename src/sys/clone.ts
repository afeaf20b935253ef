import type { Pointer } from "bun:ffi";
import { EINVAL, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, EXDEV, SysError } from "./errno.ts";
import { libc, orErrno } from "./libc.ts";

/** include/uapi/linux/fs.h; the same on x86-64 and arm64. */
const FICLONE = 0x40049409;

const CANNOT = [EOPNOTSUPP, ENOTTY, ENOSYS, EXDEV, EINVAL, EPERM];

/**
 * Makes an empty file a copy of another one that shares its blocks until one of them is changed.
 * @param target open for writing.
 * @returns false where the file system has no such copies, or the files are on different ones.
 */
export function cloneFile(source: number, target: number, path?: string): boolean {
  // The argument is a number that stands where other requests have a pointer.
  const result = orErrno(libc.ioctl(target, FICLONE, source as Pointer));
  if (result === 0) return true;
  if (CANNOT.includes(-result)) return false;
  throw new SysError(-result, "FICLONE", path);
}
