import { randomBytes } from "node:crypto";
import {
  check,
  lacksUnnamedFiles,
  O_CREAT,
  O_EXCL,
  O_RDWR,
  O_TMPFILE,
  tryOpenat,
  unlinkat,
} from "../sys/file.ts";

const MODE = 0o600;

/** A file name that nobody else uses: the prefix and twelve random characters. */
export function temporaryName(prefix: string): string {
  return prefix + randomBytes(9).toString("base64url");
}

/**
 * A file without a name, in the file system of the directory, gone when it is closed.
 * @param mode permissions, should it be given a name.
 * @returns its descriptor, for reading and writing.
 */
export function openTemporary(directoryFd: number, mode = MODE): number {
  const fd = tryOpenat(directoryFd, ".", O_TMPFILE | O_RDWR, mode);
  if (!lacksUnnamedFiles(fd)) return check(fd, "openat", "temporary file");
  const name = temporaryName(".tmp-");
  const named = check(
    tryOpenat(directoryFd, name, O_CREAT | O_EXCL | O_RDWR, mode),
    "openat",
    "temporary file",
  );
  unlinkat(directoryFd, name);
  return named;
}
