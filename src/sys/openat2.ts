import { display } from "../bytes.ts";
import { EAGAIN, EINVAL, ELOOP, ENOENT, ENOSYS, ENOTDIR, EPERM, EXDEV, SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, tryOpenat } from "./file.ts";
import { cstring, libc, orErrno } from "./libc.ts";
import { NR, syscall } from "./syscall.ts";

/** How a path may be resolved (include/uapi/linux/openat2.h). */
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;

export type Links =
  /** Symbolic links are followed as long as they stay below the directory. */
  | "follow"
  /** Any symbolic link on the way fails with ELOOP. */
  | "refuse";

let missing = false;

/**
 * Opens a path that must stay below the directory `dirfd`: absolute paths, absolute links, links of /proc and `..`
 * above the directory fail with EXDEV. Returns the number or the negative errno.
 */
export function tryOpenBeneath(dirfd: number, path: string, flags: number, links: Links): number {
  if (missing) return walkBeneath(dirfd, path, flags, links);
  const how = new BigUint64Array(3);
  how[0] = BigInt(flags | O_CLOEXEC);
  how[2] = BigInt(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (links === "refuse" ? RESOLVE_NO_SYMLINKS : 0));
  for (let attempt = 0; ; attempt++) {
    const result = syscall(NR.openat2, dirfd, cstring(path), how, how.byteLength);
    // EAGAIN: something was renamed meanwhile and the kernel could not tell whether `..` still is below.
    if (result === -EAGAIN && attempt < 100) continue;
    // Some container sandboxes answer EPERM to system calls that they do not know.
    if (result === -ENOSYS || result === -EPERM) {
      const walked = walkBeneath(dirfd, path, flags, links);
      if (result === -ENOSYS || walked >= 0) missing = true;
      return walked;
    }
    return result;
  }
}

/** As `tryOpenBeneath`. @throws SysError */
export function openBeneath(
  dirfd: number,
  path: string,
  flags: number,
  links: Links,
  label = display(path),
): Fd {
  const result = tryOpenBeneath(dirfd, path, flags, links);
  if (result < 0) throw new SysError(-result, "openat2", label);
  return new Fd(result, label);
}

/** As many links as the kernel follows in one path (MAXSYMLINKS). */
const MAX_LINKS = 40;

/**
 * The same without openat2 (Linux before 5.6): component by component, no link ever followed by the kernel.
 * Exported for tests.
 */
export function walkBeneath(dirfd: number, path: string, flags: number, links: Links): number {
  const opened: number[] = [];
  const pending: string[] = [];
  let followed = 0;
  const push = (target: string): boolean => {
    if (target.startsWith("/")) return false;
    const parts = target.split("/");
    for (let i = parts.length - 1; i >= 0; i--) {
      if (parts[i] !== "" && parts[i] !== ".") pending.push(parts[i]!);
      // A trailing slash or dot asks for a directory.
      else if (i === parts.length - 1 && pending.length === 0) pending.push(".");
    }
    return true;
  };
  try {
    if (path === "") return -ENOENT;
    if (!push(path)) return -EXDEV;
    for (;;) {
      const base = opened.at(-1) ?? dirfd;
      const name = pending.pop();
      if (name === undefined) return tryOpenat(base, ".", flags);
      if (name === "..") {
        const top = opened.pop();
        if (top === undefined) return -EXDEV;
        libc.close(top);
        continue;
      }
      const last = pending.length === 0;
      if (!last || name === ".") {
        const next = tryOpenat(base, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
        if (next >= 0) {
          opened.push(next);
          continue;
        }
        if (next !== -ENOTDIR && next !== -ELOOP) return next;
      } else if ((flags & O_NOFOLLOW) !== 0) {
        return tryOpenat(base, name, flags);
      }
      const target = readLink(base, name);
      if (target === undefined) return last ? tryOpenat(base, name, flags | O_NOFOLLOW) : -ENOTDIR;
      if (links === "refuse" || ++followed > MAX_LINKS) return -ELOOP;
      if (!push(target)) return -EXDEV;
    }
  } finally {
    for (const fd of opened) libc.close(fd);
  }
}

/** The target, or undefined for what is no symbolic link or not there. */
function readLink(dirfd: number, name: string): string | undefined {
  const buffer = Buffer.allocUnsafe(4096);
  const length = orErrno(libc.readlinkat(dirfd, cstring(name), buffer, buffer.length));
  if (length === -EINVAL || length === -ENOENT) return undefined;
  return length < 0 ? undefined : buffer.latin1Slice(0, length);
}
