import type { ByteString } from "../bytes.ts";
import { ENODATA, EOPNOTSUPP, SysError } from "./errno.ts";
import { cstring, libc, orErrno, scratchPath } from "./libc.ts";

/** The kernel's limits for the list of names and for one value (XATTR_LIST_MAX and XATTR_SIZE_MAX in linux/limits.h). */
const MAX_SIZE = 65536;

const list = Buffer.alloc(MAX_SIZE);
const value = Buffer.alloc(MAX_SIZE);

/**
 * The extended attributes of an entry of an open directory, whatever its type: a symbolic link is not followed and
 * nothing is opened, so that devices can be asked too. Needs /proc.
 * @param name of the entry, or "." for the directory itself.
 * @param wanted which attributes to read, by name; all unless given.
 * @param label says for messages what is read.
 * @returns undefined when there are none, or the file system has no such thing.
 */
export function readXattrs(
  dirfd: number,
  name: ByteString,
  label: () => string,
  wanted: (name: ByteString) => boolean = () => true,
): Map<ByteString, ByteString> | undefined {
  // There is no listxattrat before Linux 6.13.
  const path = `/proc/self/fd/${dirfd}/${name}`;
  const length = orErrno(libc.llistxattr(scratchPath(path), list, list.length));
  if (length === 0 || length === -EOPNOTSUPP) return undefined;
  if (length < 0) throw new SysError(-length, "llistxattr", label());
  // Every name ends with NUL.
  const names = list.latin1Slice(0, length - 1).split("\0");
  let xattrs: Map<ByteString, ByteString> | undefined;
  for (const key of names) {
    if (!wanted(key)) continue;
    const size = orErrno(libc.lgetxattr(scratchPath(path), cstring(key), value, value.length));
    // Removed since, or one that the file system lists but has no value for.
    if (size === -ENODATA || size === -EOPNOTSUPP) continue;
    if (size < 0) throw new SysError(-size, "lgetxattr", label());
    xattrs ??= new Map();
    xattrs.set(key, value.latin1Slice(0, size));
  }
  return xattrs;
}
