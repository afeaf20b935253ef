import { EBADF, SysError } from "./errno.ts";
import { libc } from "./libc.ts";

/** An open file descriptor that closes itself at the end of a `using` block. */
export class Fd implements Disposable {
  readonly path: string;
  #fd: number;

  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.path = path;
  }

  /** The number. @throws SysError EBADF when already closed. */
  get fd(): number {
    if (this.#fd < 0) throw new SysError(EBADF, "fd", this.path);
    return this.#fd;
  }

  /** Gives the number away; the caller closes it. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    libc.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
