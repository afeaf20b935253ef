import { withContext } from "../../errors.ts";
import { DoneBytes } from "../../parallel/done-bytes.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { ObjectIdTable } from "../../splitstream/format.ts";
import { CommitTable } from "../commit-table.ts";
import { type ObjectTarget, ObjectWriter } from "./object-writer.ts";

/** Files of a commit to be written into an ostree repository. Buffers are shared by the threads. */
export interface ExportPayload {
  readonly store: ObjectStoreHandle;
  readonly target: ObjectTarget;
  /** The commit's table, and the objects that it refers to. */
  readonly table: SharedArrayBuffer;
  readonly objects: SharedArrayBuffer;
  /** Uint32: the files' places in the table. */
  readonly files: SharedArrayBuffer;
  /** Number of the next file that nobody has begun, files written; then, as 64 bits, bytes done. */
  readonly shared: SharedArrayBuffer;
}

/** A thread takes on so many files at a time. */
const GROUP = 32;
/** Left alone, what reading headers leaves behind takes more memory than all else (100,000 files: 50 MB a thread). */
const GROUPS_PER_COLLECTION = 256;

/** The job of a worker thread: takes file after file until none is left. */
export function exportFiles(payload: ExportPayload): void {
  new ExportTask(payload).run(Number.POSITIVE_INFINITY);
}

export class ExportTask {
  readonly #store: ObjectStore;
  readonly #writer: ObjectWriter;
  readonly #table: CommitTable;
  readonly #files: Uint32Array;
  readonly #next: Int32Array;
  /** That this thread has begun. */
  #groups = 0;
  readonly #done: DoneBytes;

  /** @param onBytes hears, now and then, how many bytes all threads have done. */
  constructor(payload: ExportPayload, onBytes?: (bytes: number) => void) {
    this.#store = new ObjectStore(payload.store);
    this.#writer = new ObjectWriter(payload.target, this.#store);
    const objects = new ObjectIdTable(
      new Uint8Array(payload.objects),
      payload.store.algorithm,
      "object references",
    );
    this.#table = new CommitTable(new Uint8Array(payload.table), objects);
    this.#files = new Uint32Array(payload.files);
    this.#next = new Int32Array(payload.shared, 0, 2);
    this.#done = new DoneBytes(payload.shared, 8, onBytes);
  }

  /** Groups that nobody has begun. */
  get groupsLeft(): number {
    return Math.max(0, Math.ceil((this.#files.length - Atomics.load(this.#next, 0)) / GROUP));
  }

  /** Files that were not there already. */
  get written(): number {
    return Atomics.load(this.#next, 1);
  }

  /** @param deadlineMs as `performance.now` tells the time. */
  run(deadlineMs: number): void {
    const count = this.#files.length;
    try {
      while (performance.now() < deadlineMs) {
        if (++this.#groups % GROUPS_PER_COLLECTION === 0) Bun.gc(true);
        const first = Atomics.add(this.#next, 0, GROUP);
        if (first >= count) break;
        for (const index of this.#files.subarray(first, first + GROUP)) this.#export(index);
      }
    } catch (error) {
      // The others have nothing left to do either.
      Atomics.store(this.#next, 0, count);
      throw error;
    } finally {
      this.#store.close();
    }
  }

  #export(index: number): void {
    const checksum = this.#table.checksumAt(index);
    try {
      // A copy: not everything takes shared memory.
      const data = new Uint8Array(this.#table.dataAt(index));
      const object = { data, external: this.#table.externalAt(index) };
      if (this.#writer.writeFile(checksum, object, (bytes) => this.#done.add(bytes)))
        Atomics.add(this.#next, 1, 1);
    } catch (error) {
      throw withContext(`file ${checksum}`, error);
    }
  }
}
