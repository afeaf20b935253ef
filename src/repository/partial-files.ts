import { CfsError } from "../errors.ts";
import { Fd } from "../sys/fd.ts";
import {
  check,
  flock,
  ftruncate,
  LOCK_EX,
  LOCK_NB,
  mkdirat,
  O_CREAT,
  O_NOFOLLOW,
  O_RDWR,
  tryOpenat,
  unlinkat,
} from "../sys/file.ts";
import { emptyStatus, fstat, isRegular, tryFstatat } from "../sys/stat.ts";
import type { NewObject, ObjectStore } from "./objects.ts";
import type { Repository } from "./repository.ts";
import { openTemporary } from "./temporary.ts";

/** Below the repository: what is being downloaded, until it is complete and stored. `gc` empties it. */
export const PARTIAL_DIRECTORY = "tmp";
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** A file that grows from its start, and outlives the process when that is interrupted. */
export class PartialFile implements Disposable {
  readonly file: Fd;
  /** Bytes found in it when it was opened. */
  readonly length: number;
  readonly #directoryFd: number;
  readonly #path: string | undefined;

  private constructor(file: Fd, length: number, directoryFd: number, path: string | undefined) {
    this.file = file;
    this.length = length;
    this.#directoryFd = directoryFd;
    this.#path = path;
  }

  /**
   * Opens the file of that name, or a new one. When another process is filling it, this one gets a file of its own.
   * @param name without slashes.
   * @param max a longer file is emptied: it can't be a part of what is wanted.
   */
  static open(repository: Repository, name: string, max: number): PartialFile {
    const { fd: directoryFd } = repository.dir;
    const path = `${PARTIAL_DIRECTORY}/${name}`;
    mkdirat(directoryFd, PARTIAL_DIRECTORY, DIRECTORY_MODE);
    const opened = tryOpenat(directoryFd, path, O_RDWR | O_CREAT | O_NOFOLLOW, FILE_MODE);
    const file = new Fd(check(opened, "openat", path), path);
    const status = fstat(file);
    if (!isRegular(status)) {
      file.close();
      throw new CfsError("Corrupt", `${path} in the repository is not a regular file`, {
        hint: "`cfsctl gc` removes it",
      });
    }
    // A file that has another name by now, or none, was finished by another process in between.
    if (!flock(file, LOCK_EX | LOCK_NB) || !isNamed(file, directoryFd, path)) {
      file.close();
      return new PartialFile(new Fd(openTemporary(directoryFd), path), 0, directoryFd, undefined);
    }
    const { size } = fstat(file);
    if (size > max) ftruncate(file, 0);
    return new PartialFile(file, size > max ? 0 : size, directoryFd, path);
  }

  /** Bytes that the file of that name has already. */
  static lengthOf(repository: Repository, name: string): number {
    const status = emptyStatus();
    const result = tryFstatat(repository.dir.fd, `${PARTIAL_DIRECTORY}/${name}`, status);
    return result === 0 ? status.size : 0;
  }

  /** Removes the file of that name, if there is one; who has it open can go on. */
  static remove(repository: Repository, name: string): void {
    unlinkat(repository.dir.fd, `${PARTIAL_DIRECTORY}/${name}`);
  }

  /** Removes the file: its content has arrived where it belongs, or is good for nothing. */
  discard(): void {
    if (this.#path !== undefined) unlinkat(this.#directoryFd, this.#path);
    this.file.close();
  }

  /** Makes the file an object that is to be committed. It must not be used any more. */
  giveTo(store: ObjectStore): NewObject {
    const path = this.#path;
    const name = path === undefined ? undefined : { directoryFd: this.#directoryFd, path };
    const object = store.adopt(this.file.fd, name);
    this.file.release();
    return object;
  }

  /** Closes the file, and keeps it for the next attempt. */
  [Symbol.dispose](): void {
    this.file.close();
  }
}

/** Whether this is the file that a path leads to. */
function isNamed(file: Fd, directoryFd: number, path: string): boolean {
  const named = emptyStatus();
  if (tryFstatat(directoryFd, path, named) !== 0) return false;
  const { ino, largeIno, devMajor, devMinor } = fstat(file);
  return (
    named.ino === ino &&
    named.largeIno === largeIno &&
    named.devMajor === devMajor &&
    named.devMinor === devMinor
  );
}
