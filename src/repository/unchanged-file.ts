import { CfsError } from "../errors.ts";
import { ELOOP, ENOENT, SysError } from "../sys/errno.ts";
import { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, tryOpenat, tryPread } from "../sys/file.ts";
import { libc } from "../sys/libc.ts";
import { emptyStatus, type FileStatus, isRegular, tryFstat } from "../sys/stat.ts";

/** What a regular file must still be when it is read: the same inode, with the same size and time. */
export interface FileVersion {
  readonly device: number;
  /** As exact as a number is. */
  readonly inode: number;
  /** Bytes. */
  readonly size: number;
  readonly mtime: number;
  readonly mtimeNsec: number;
}

export function versionOf(status: FileStatus): FileVersion {
  const { ino: inode, size, mtime, mtimeNsec } = status;
  return { device: deviceOf(status), inode, size, mtime, mtimeNsec };
}

/** The device that holds a file, as one number. */
export function deviceOf({ devMajor, devMinor }: FileStatus): number {
  return devMajor * 0x1_0000_0000 + devMinor;
}

const status = emptyStatus();

/**
 * A regular file that was looked at before and is read now: whoever changes it in between, or puts something else in
 * its place, is found out.
 */
export class UnchangedFile implements Disposable {
  readonly #fd: number;
  readonly #version: FileVersion;
  readonly #label: () => string;

  /** @throws CfsError Invalid when it is gone or a symbolic link; SysError when it can't be read. */
  constructor(dirfd: number, name: string, version: FileVersion, label: () => string) {
    this.#version = version;
    this.#label = label;
    // Should it have become a fifo meanwhile, opening must not wait for a writer.
    this.#fd = tryOpenat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (this.#fd === -ENOENT || this.#fd === -ELOOP) throw this.#changed();
    if (this.#fd < 0) throw new SysError(-this.#fd, "openat", label());
  }

  /** Fills `buffer` from `offset` on. @throws CfsError when the file has fewer bytes. */
  read(buffer: Uint8Array, offset: number): void {
    const length = tryPread(this.#fd, buffer, offset);
    if (length === buffer.length) return;
    this.finish();
    throw length < 0 ? new SysError(-length, "pread", this.#label()) : this.#changed();
  }

  /** To be called when all has been read. @throws CfsError Invalid when it is not the file that was looked at, as it was. */
  finish(): void {
    const result = tryFstat(this.#fd, status);
    if (result < 0) throw new SysError(-result, "statx", this.#label());
    const { device, inode, size, mtime, mtimeNsec } = this.#version;
    const isSame =
      isRegular(status) && status.size === size && status.mtime === mtime && status.mtimeNsec === mtimeNsec;
    if (!isSame || deviceOf(status) !== device || status.ino !== inode) throw this.#changed();
  }

  #changed(): CfsError {
    return new CfsError("Invalid", `${this.#label()} changed while it was read`, {
      hint: "run the command again when nothing writes to the directory",
    });
  }

  [Symbol.dispose](): void {
    libc.close(this.#fd);
  }
}
