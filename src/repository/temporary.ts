import { randomBytes } from "node:crypto";
import { EISDIR, EOPNOTSUPP } from "../sys/errno.ts";
import { check, O_CREAT, O_EXCL, O_RDWR, O_TMPFILE, tryOpenat, unlinkat } from "../sys/file.ts";

const MODE = 0o600;

/**
 * A file without a name, in the file system of the directory, gone when it is closed.
 * @returns its descriptor, for reading and writing.
 */
export function openTemporary(directoryFd: number): number {
  const fd = tryOpenat(directoryFd, ".", O_TMPFILE | O_RDWR, MODE);
  if (fd !== -EOPNOTSUPP && fd !== -EISDIR) return check(fd, "openat", "temporary file");
  const name = `.tmp-${randomBytes(9).toString("base64url")}`;
  const named = check(
    tryOpenat(directoryFd, name, O_CREAT | O_EXCL | O_RDWR, MODE),
    "openat",
    "temporary file",
  );
  unlinkat(directoryFd, name);
  return named;
}
