import type { ByteString } from "../bytes.ts";
import { ENODATA, ENOSYS, EOPNOTSUPP, EPERM, SysError } from "./errno.ts";
import { AT_SYMLINK_NOFOLLOW } from "./file.ts";
import { cstring, libc, orErrno, scratchPath } from "./libc.ts";
import { NR, pinned } from "./syscall.ts";

/** The kernel's limits for the list of names and for one value (XATTR_LIST_MAX and XATTR_SIZE_MAX in linux/limits.h). */
const MAX_SIZE = 65536;

const list = pinned(MAX_SIZE);
const listBytes = Buffer.from(list.bytes.buffer);
const value = Buffer.alloc(MAX_SIZE);

/** Learnt from the first attempt. */
let hasListxattrat = true;

/**
 * The extended attributes of an entry of an open directory, whatever its type: a symbolic link is not followed and
 * nothing is opened, so that devices can be asked too. Needs /proc.
 * @param name of the entry, or "." for the directory itself.
 * @param label says for messages what is read.
 * @param wanted which attributes to read, by name; all unless given.
 * @returns undefined when there are none, or the file system has no such thing.
 */
export function readXattrs(
  dirfd: number,
  name: ByteString,
  label: () => string,
  wanted: (name: ByteString) => boolean = () => true,
): Map<ByteString, ByteString> | undefined {
  const length = fillList(dirfd, name);
  if (length === 0 || length === -EOPNOTSUPP) return undefined;
  if (length < 0) throw new SysError(-length, "listxattr", label());
  // Every name ends with NUL.
  const names = listBytes.latin1Slice(0, length - 1).split("\0");
  let xattrs: Map<ByteString, ByteString> | undefined;
  for (const key of names) {
    if (!wanted(key)) continue;
    const size = orErrno(libc.lgetxattr(procPath(dirfd, name), cstring(key), value, value.length));
    // Removed since, or one that the file system lists but has no value for.
    if (size === -ENODATA || size === -EOPNOTSUPP) continue;
    if (size < 0) throw new SysError(-size, "lgetxattr", label());
    xattrs ??= new Map();
    xattrs.set(key, value.latin1Slice(0, size));
  }
  return xattrs;
}

/** Fills the list with the names; their length or the negative errno. */
function fillList(dirfd: number, name: ByteString): number {
  if (hasListxattrat) {
    // Most entries have none, and asking through /proc takes three times as long.
    const flags = AT_SYMLINK_NOFOLLOW;
    const length = orErrno(
      libc.syscall(NR.listxattrat, dirfd, scratchPath(name), flags, list.address, MAX_SIZE, 0),
    );
    // Since Linux 6.13; some container sandboxes answer EPERM to system calls that they do not know.
    if (length !== -ENOSYS && length !== -EPERM) return length;
    hasListxattrat = false;
  }
  return orErrno(libc.llistxattr(procPath(dirfd, name), listBytes, MAX_SIZE));
}

function procPath(dirfd: number, name: ByteString): Uint8Array {
  return scratchPath(`/proc/self/fd/${dirfd}/${name}`);
}

/** For tests: behaves from now on as on a kernel without listxattrat. */
export function forgetListxattrat(): void {
  hasListxattrat = false;
}
