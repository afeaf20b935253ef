import { MemorySpool, type Spool } from "../splitstream/spool.ts";
import { pread, pwriteAll } from "../sys/file.ts";
import { libc } from "../sys/libc.ts";
import { openTemporary } from "./temporary.ts";

const MEMORY_LIMIT = 1024 * 1024;
const PIECE = 256 * 1024;

/** Keeps the first MiB in memory and the rest in an unnamed file of the repository's file system. */
export class FileSpool implements Spool {
  readonly #repositoryFd: number;
  readonly #memory = new MemorySpool();
  #fd: number | undefined;
  #fileLength = 0;

  constructor(repositoryFd: number) {
    this.#repositoryFd = repositoryFd;
  }

  get length(): number {
    return this.#memory.length + this.#fileLength;
  }

  append(bytes: Uint8Array<ArrayBufferLike>): void {
    if (this.#fileLength === 0 && this.#memory.length + bytes.length <= MEMORY_LIMIT) {
      this.#memory.append(bytes);
      return;
    }
    this.#fd ??= openTemporary(this.#repositoryFd);
    pwriteAll(this.#fd, bytes, this.#fileLength, "temporary file");
    this.#fileLength += bytes.length;
  }

  drain(sink: (piece: Uint8Array) => void): void {
    this.#memory.drain(sink);
    if (this.#fd === undefined) return;
    const piece = new Uint8Array(PIECE);
    for (let at = 0; at < this.#fileLength; ) {
      const n = pread(
        this.#fd,
        piece.subarray(0, Math.min(PIECE, this.#fileLength - at)),
        at,
        "temporary file",
      );
      sink(piece.subarray(0, n));
      at += n;
    }
    this.#fileLength = 0;
  }

  close(): void {
    if (this.#fd !== undefined) libc.close(this.#fd);
    this.#fd = undefined;
  }
}
