import { fromText } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { ELOOP, ENOENT, isErrno } from "../../sys/errno.ts";
import type { Fd } from "../../sys/fd.ts";
import { O_DIRECTORY, O_NONBLOCK, O_RDONLY, open } from "../../sys/file.ts";
import { openBeneath } from "../../sys/openat2.ts";
import { fstat, isRegular } from "../../sys/stat.ts";
import type { BlobReader } from "../source.ts";

/** Files of a directory. Symbolic links in it are not followed, so that it can't name files elsewhere. */
export class PlainDirectory implements Disposable {
  readonly #directory: Fd;

  /** @param path text */
  constructor(path: string) {
    this.#directory = open(path, O_RDONLY | O_DIRECTORY);
  }

  /** @throws CfsError NotFound; Invalid for what is no regular file */
  open(path: string): BlobReader {
    const label = `${this.#directory.path}/${path}`;
    let file: Fd;
    try {
      // O_NONBLOCK: a FIFO in its place must not block.
      file = openBeneath(this.#directory.fd, fromText(path), O_RDONLY | O_NONBLOCK, "refuse", label);
    } catch (error) {
      if (isErrno(error, ENOENT)) throw new CfsError("NotFound", `${label} does not exist`);
      if (isErrno(error, ELOOP)) {
        throw new CfsError("Invalid", `${label} is a symbolic link or lies behind one`, {
          cause: error,
          hint: "copy the image, so that its blobs are files of their own",
        });
      }
      throw error;
    }
    const status = fstat(file);
    if (!isRegular(status)) {
      file.close();
      throw new CfsError("Invalid", `${label} is not a regular file`);
    }
    return { fd: file.fd, offset: 0, size: status.size, [Symbol.dispose]: () => file.close() };
  }

  [Symbol.dispose](): void {
    this.#directory.close();
  }
}
