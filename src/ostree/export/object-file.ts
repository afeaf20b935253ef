import { temporaryName } from "../../repository/temporary.ts";
import { ENOENT, isErrno } from "../../sys/errno.ts";
import {
  check,
  lacksUnnamedFiles,
  linkFd,
  mkdirat,
  O_CREAT,
  O_EXCL,
  O_RDWR,
  O_TMPFILE,
  renameat,
  symlinkat,
  tryOpenat,
  unlinkat,
} from "../../sys/file.ts";
import { libc } from "../../sys/libc.ts";
import { emptyStatus, type FileStatus, tryFstatat } from "../../sys/stat.ts";

/** libostree removes files with such names that nobody has touched for a day. */
const TEMPORARY_PREFIX = "tmpobj-";

/** An object that is being written: an open file without a place, or a symbolic link. */
export interface NewFile {
  /** Of a symbolic link -1. */
  readonly fd: number;
  /** Name in `tmp/`, where it has one. */
  readonly name: string | undefined;
}

/** Gives files their places in `objects/` when they are complete. */
export class ObjectPlaces {
  readonly #objectsFd: number;
  readonly #tmpFd: number;
  readonly #status = emptyStatus();
  #lacksUnnamedFiles = false;

  constructor(objectsFd: number, tmpFd: number) {
    this.#objectsFd = objectsFd;
    this.#tmpFd = tmpFd;
  }

  /** What is at a place; valid until the next call. @param path `xx/rest.extension`. */
  find(path: string): FileStatus | undefined {
    const result = tryFstatat(this.#objectsFd, path, this.#status);
    if (result === -ENOENT) return undefined;
    check(result, "statx", `objects/${path}`);
    return this.#status;
  }

  create(): NewFile {
    if (!this.#lacksUnnamedFiles) {
      const fd = tryOpenat(this.#tmpFd, ".", O_TMPFILE | O_RDWR, 0o600);
      if (!lacksUnnamedFiles(fd)) return { fd: check(fd, "openat", "tmp"), name: undefined };
      this.#lacksUnnamedFiles = true;
    }
    const name = temporaryName(TEMPORARY_PREFIX);
    const fd = tryOpenat(this.#tmpFd, name, O_CREAT | O_EXCL | O_RDWR, 0o600);
    return { fd: check(fd, "openat", `tmp/${name}`), name };
  }

  createSymlink(target: string): NewFile & { readonly dirfd: number; readonly name: string } {
    for (;;) {
      const name = temporaryName(TEMPORARY_PREFIX);
      if (symlinkat(target, this.#tmpFd, name)) return { fd: -1, dirfd: this.#tmpFd, name };
    }
  }

  /** Puts a file in its place, and over what is there. */
  place(file: NewFile, path: string): void {
    try {
      this.#place(file, path);
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
      mkdirat(this.#objectsFd, path.slice(0, 2), 0o755);
      this.#place(file, path);
    }
  }

  #place({ fd, name }: NewFile, path: string): void {
    if (name !== undefined) {
      renameat(this.#tmpFd, name, this.#objectsFd, path);
      return;
    }
    if (linkFd(fd, this.#objectsFd, path)) return;
    const temporary = temporaryName(TEMPORARY_PREFIX);
    linkFd(fd, this.#tmpFd, temporary);
    renameat(this.#tmpFd, temporary, this.#objectsFd, path);
  }

  /** To be called for every file, placed or not. */
  close({ fd, name }: NewFile): void {
    if (fd >= 0) libc.close(fd);
    if (name !== undefined) unlinkat(this.#tmpFd, name);
  }
}
