import { CHECKSUM_SIZE, type Checksum, checksumBytes, checksumOf } from "../checksum.ts";

/** A queue as other threads are told of it. */
export interface FileQueueHandle {
  /** One after the other. */
  readonly checksums: Uint8Array<SharedArrayBuffer>;
  /** One number: how many were taken; more than there are when somebody found it empty. */
  readonly taken: Int32Array<SharedArrayBuffer>;
}

/** Files that wait for any thread to take them: as long as there are some, no thread is without work. */
export class FileQueue {
  readonly handle: FileQueueHandle;

  constructor(handle: FileQueueHandle) {
    this.handle = handle;
  }

  static of(checksums: readonly Checksum[]): FileQueue {
    const bytes = new Uint8Array(new SharedArrayBuffer(checksums.length * CHECKSUM_SIZE));
    for (const [i, checksum] of checksums.entries()) bytes.set(checksumBytes(checksum), i * CHECKSUM_SIZE);
    return new FileQueue({ checksums: bytes, taken: new Int32Array(new SharedArrayBuffer(4)) });
  }

  get isEmpty(): boolean {
    return Atomics.load(this.handle.taken, 0) >= this.#length;
  }

  /** The index of a file that is now this thread's; undefined when there is none left. */
  take(): number | undefined {
    const index = Atomics.add(this.handle.taken, 0, 1);
    return index < this.#length ? index : undefined;
  }

  checksum(index: number): Checksum {
    return checksumOf(this.handle.checksums.subarray(index * CHECKSUM_SIZE, (index + 1) * CHECKSUM_SIZE));
  }

  get #length(): number {
    return this.handle.checksums.length / CHECKSUM_SIZE;
  }
}
