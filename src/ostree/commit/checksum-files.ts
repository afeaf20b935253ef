import { workTogether } from "../../parallel/together.ts";
import type { Progress } from "../../progress.ts";
import type { ObjectStoreHandle } from "../../repository/objects.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { CHECKSUM_SIZE, type Checksum } from "../checksum.ts";
import { type ChecksumPayload, ChecksumTask } from "./checksum-job.ts";

export interface ChecksumOptions {
  /** Threads, this one included. */
  readonly jobs: number;
  readonly progress: Progress;
}

/** Less than this is done before a line about it could be read. */
const PROGRESS_BYTES = 64 * 1024 * 1024;

/** Collects files whose content is in the object store, and finds out their ostree checksums. */
export class FileChecksums {
  readonly #store: ObjectStoreHandle;
  readonly #objects: ObjectId[] = [];
  readonly #sizes: number[] = [];
  readonly #headerOf: number[] = [];
  /** Few, as a rule: most files have the metadata of others. */
  readonly #headers = new Map<string, number>();
  #totalBytes = 0;

  constructor(store: ObjectStoreHandle) {
    this.#store = store;
  }

  /**
   * @param header the hashed one, as a byte string.
   * @returns the file's number.
   */
  add(header: string, object: ObjectId, size: number): number {
    let index = this.#headers.get(header);
    if (index === undefined) {
      index = this.#headers.size;
      this.#headers.set(header, index);
    }
    this.#headerOf.push(index);
    this.#sizes.push(size);
    this.#totalBytes += size;
    return this.#objects.push(object) - 1;
  }

  /**
   * Reads all files.
   * @returns their checksums by their numbers.
   * @throws CfsError NotFound, Corrupt
   */
  async compute({ jobs, progress }: ChecksumOptions): Promise<(file: number) => Checksum> {
    const count = this.#objects.length;
    const payload = this.#payload();
    const id = "checksums";
    const isLong = this.#totalBytes >= PROGRESS_BYTES;
    if (isLong)
      progress.event({
        type: "start",
        id,
        label: `checksums of ${count} files`,
        totalBytes: this.#totalBytes,
      });
    const task = new ChecksumTask(payload, (bytes) => {
      if (isLong) progress.event({ type: "advance", id, bytes });
    });
    await workTogether(
      {
        job: "ostree-checksums",
        payload,
        work: (deadlineMs) => task.run(deadlineMs),
        left: () => task.groupsLeft,
      },
      jobs,
    );
    if (isLong) progress.event({ type: "done", id, bytes: this.#totalBytes });
    const checksums = Buffer.from(payload.checksums);
    return (file) => checksums.hexSlice(file * CHECKSUM_SIZE, (file + 1) * CHECKSUM_SIZE) as Checksum;
  }

  #payload(): ChecksumPayload {
    const count = this.#objects.length;
    const { size } = this.#store.algorithm;
    const objects = Buffer.from(new SharedArrayBuffer(count * size));
    for (const [i, object] of this.#objects.entries()) objects.hexWrite(object, i * size);
    const headerEnds = new Uint32Array(new SharedArrayBuffer(this.#headers.size * 4));
    let end = 0;
    for (const [header, i] of this.#headers) {
      end += header.length;
      headerEnds[i] = end;
    }
    const headers = Buffer.from(new SharedArrayBuffer(end));
    end = 0;
    for (const header of this.#headers.keys()) end += headers.latin1Write(header, end);
    const sizes = new Float64Array(new SharedArrayBuffer(count * 8));
    sizes.set(this.#sizes);
    const headerOf = new Uint32Array(new SharedArrayBuffer(count * 4));
    headerOf.set(this.#headerOf);
    return {
      store: this.#store,
      count,
      objects: objects.buffer as unknown as SharedArrayBuffer,
      sizes: sizes.buffer,
      headerOf: headerOf.buffer,
      headers: headers.buffer as unknown as SharedArrayBuffer,
      headerEnds: headerEnds.buffer,
      checksums: new SharedArrayBuffer(count * CHECKSUM_SIZE),
      shared: new SharedArrayBuffer(16),
    };
  }
}
