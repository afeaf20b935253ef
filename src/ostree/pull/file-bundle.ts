import { libc } from "../../sys/libc.ts";
import type { Checksum } from "../checksum.ts";
import { MAX_SMALL_FILE } from "../source.ts";

/** A file as archives have it: in the bundle's memory, or in an open file that is closed when it has been read. */
export type BundledFile =
  | { readonly checksum: Checksum; readonly start: number; readonly end: number }
  | { readonly checksum: Checksum; readonly fd: number };

/** What a thread is given of a bundle. */
export interface BundleHandle {
  readonly memory: Uint8Array<SharedArrayBuffer>;
  readonly files: readonly BundledFile[];
}

const SIZE = 2 * MAX_SMALL_FILE;
/** That is work enough for a thread. */
const ENOUGH_FILES = 48;
const ENOUGH_BYTES = 1024 * 1024;

/** Fetched files for a thread to store. The memory is shared: nothing is copied when it is handed over, and used anew. */
export class FileBundle {
  readonly #memory = new Uint8Array(new SharedArrayBuffer(SIZE));
  #files: BundledFile[] = [];
  #length = 0;
  #hasLarge = false;

  get handle(): BundleHandle {
    return { memory: this.#memory, files: this.#files };
  }

  get isEmpty(): boolean {
    return this.#files.length === 0;
  }

  get isFull(): boolean {
    return this.#hasLarge || this.#length >= ENOUGH_BYTES || this.#files.length >= ENOUGH_FILES;
  }

  hasRoomFor(size: number): boolean {
    return this.#length + size <= SIZE;
  }

  add(checksum: Checksum, parts: readonly Uint8Array[]): void {
    const start = this.#length;
    for (const part of parts) {
      this.#memory.set(part, this.#length);
      this.#length += part.length;
    }
    this.#files.push({ checksum, start, end: this.#length });
  }

  addOpen(checksum: Checksum, fd: number): void {
    this.#files.push({ checksum, fd });
    this.#hasLarge = true;
  }

  checksum(index: number): Checksum {
    return this.#files[index]!.checksum;
  }

  /** Makes it empty, when its files have been stored. */
  reset(): void {
    this.#files = [];
    this.#length = 0;
    this.#hasLarge = false;
  }

  /** For files that nobody is going to store. */
  close(): void {
    for (const file of this.#files) if ("fd" in file) libc.close(file.fd);
    this.reset();
  }
}
