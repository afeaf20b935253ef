import { ENOENT, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import {
  check,
  lacksUnnamedFiles,
  linkFd,
  O_CREAT,
  O_EXCL,
  O_RDWR,
  O_TMPFILE,
  renameat,
  tryOpenat,
  unlinkat,
} from "../sys/file.ts";
import { libc } from "../sys/libc.ts";
import { temporaryName } from "./temporary.ts";

const MODE = 0o644;
const PREFIX = ".cfsctl-";

/** A file that appears in its directory when it is complete, or never. */
export class NewFile implements Disposable {
  readonly fd: number;
  readonly #directory: Fd;
  /** On file systems without unnamed files. */
  #temporaryName: string | undefined;

  constructor(directory: Fd) {
    this.#directory = directory;
    const unnamed = tryOpenat(directory.fd, ".", O_TMPFILE | O_RDWR, MODE);
    if (!lacksUnnamedFiles(unnamed)) {
      this.fd = check(unnamed, "openat", directory.path);
      return;
    }
    this.#temporaryName = temporaryName(PREFIX);
    const fd = tryOpenat(directory.fd, this.#temporaryName, O_CREAT | O_EXCL | O_RDWR, MODE);
    this.fd = check(fd, "openat", directory.path);
  }

  /** Gives the file its name; what had that name before is replaced in one step. */
  place(name: string): void {
    const { fd: directory } = this.#directory;
    if (this.#temporaryName === undefined) {
      placeUnnamed(this.fd, directory, name);
      return;
    }
    renameat(directory, this.#temporaryName, directory, name);
    this.#temporaryName = undefined;
  }

  [Symbol.dispose](): void {
    libc.close(this.fd);
    if (this.#temporaryName !== undefined) unlinkat(this.#directory.fd, this.#temporaryName);
  }
}

/** Gives a file without a name one, in place of what had it before. */
function placeUnnamed(fd: number, directory: number, name: string): void {
  if (linkFd(fd, directory, name)) return;
  const temporary = temporaryName(PREFIX);
  linkFd(fd, directory, temporary);
  try {
    renameat(directory, temporary, directory, name);
  } catch (error) {
    unlinkat(directory, temporary);
    throw error;
  }
}

/** As `NewFile.place`; false for a file that had a name, and lost it for good. */
export function tryPlaceUnnamed(fd: number, directory: number, name: string): boolean {
  try {
    placeUnnamed(fd, directory, name);
    return true;
  } catch (error) {
    if (isErrno(error, ENOENT)) return false;
    throw error;
  }
}
