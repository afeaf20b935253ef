import { CfsError, describeError } from "../errors.ts";
import { DoneBytes } from "../parallel/done-bytes.ts";
import { ObjectStore, type ObjectStoreHandle } from "../repository/objects.ts";
import { ObjectIdTable } from "../splitstream/format.ts";
import { pread } from "../sys/file.ts";
import { fstat } from "../sys/stat.ts";
import type { ObjectId } from "../verity/digest.ts";
import { type Checksum, computeChecksum } from "./checksum.ts";
import { CommitTable } from "./commit-table.ts";
import { archiveHeaderLength, FileHasher, parseArchiveHeader } from "./file-header.ts";
import { OBJECT_TYPES, type ObjectType } from "./objects.ts";

/** Objects of a commit to be checked. Buffers are shared by the threads. */
export interface CheckPayload {
  readonly store: ObjectStoreHandle;
  /** The commit's table, and the objects that it refers to. */
  readonly table: SharedArrayBuffer;
  readonly objects: SharedArrayBuffer;
  /** Uint32: places in the table. */
  readonly indices: SharedArrayBuffer;
  /** A byte for each of these: its type by the number that it has in static deltas, or UNKNOWN_TYPE. */
  readonly types: SharedArrayBuffer;
  /** Number of the next object that nobody has begun; then, as 64 bits, bytes done. */
  readonly shared: SharedArrayBuffer;
}

export interface ObjectFault {
  /** Which of the indices. */
  readonly position: number;
  readonly what: string;
}

/** What an object is can't be known where the directories of the commit can't be read. */
export const UNKNOWN_TYPE = 0;

/** A thread takes on so many objects at a time. */
const GROUP = 32;
const PIECE = 1024 * 1024;
/** Left alone, what reading headers leaves behind takes more memory than all else (100,000 files: 80 MB a thread). */
const GROUPS_PER_COLLECTION = 256;
/** Faults that a thread tells. */
export const MAX_FAULTS = 100;

const TYPES = new Map<number, ObjectType>(
  Object.entries(OBJECT_TYPES).map(([type, number]) => [number, type as ObjectType]),
);

/** The job of a worker thread: checks object after object until none is left. */
export function checkCommitObjects(payload: CheckPayload): ObjectFault[] {
  return new CheckTask(payload).run(Number.POSITIVE_INFINITY);
}

export class CheckTask {
  readonly #store: ObjectStore;
  readonly #table: CommitTable;
  readonly #indices: Uint32Array;
  readonly #types: Uint8Array;
  readonly #next: Int32Array;
  readonly #done: DoneBytes;
  readonly #buffer = new Uint8Array(PIECE);
  /** That this thread has begun. */
  #groups = 0;

  /** @param onBytes hears, now and then, how many bytes all threads have done. */
  constructor(payload: CheckPayload, onBytes?: (bytes: number) => void) {
    this.#store = new ObjectStore(payload.store);
    const ids = new Uint8Array(payload.objects);
    this.#table = new CommitTable(
      new Uint8Array(payload.table),
      new ObjectIdTable(ids, payload.store.algorithm, "object references"),
    );
    this.#indices = new Uint32Array(payload.indices);
    this.#types = new Uint8Array(payload.types);
    this.#next = new Int32Array(payload.shared, 0, 1);
    this.#done = new DoneBytes(payload.shared, 8, onBytes);
  }

  /** Groups that nobody has begun. */
  get groupsLeft(): number {
    return Math.max(0, Math.ceil((this.#indices.length - Atomics.load(this.#next, 0)) / GROUP));
  }

  /** @param deadlineMs as `performance.now` tells the time. @returns what is wrong. */
  run(deadlineMs: number): ObjectFault[] {
    const faults: ObjectFault[] = [];
    try {
      while (performance.now() < deadlineMs) {
        if (++this.#groups % GROUPS_PER_COLLECTION === 0) Bun.gc(true);
        const first = Atomics.add(this.#next, 0, GROUP);
        const end = Math.min(first + GROUP, this.#indices.length);
        if (first >= end) break;
        for (let position = first; position < end; position++) {
          const what = this.#faultOf(position);
          if (what !== undefined && faults.length < MAX_FAULTS) faults.push({ position, what });
        }
      }
    } finally {
      this.#store.close();
    }
    return faults;
  }

  #faultOf(position: number): string | undefined {
    try {
      this.#check(this.#indices[position]!, TYPES.get(this.#types[position]!));
      return undefined;
    } catch (error) {
      if (error instanceof CfsError) return describeError(error);
      throw error;
    }
  }

  #check(index: number, type: ObjectType | undefined): void {
    const checksum = this.#table.checksumAt(index);
    const external = this.#table.externalAt(index);
    // A copy: not everything takes shared memory.
    const data = new Uint8Array(this.#table.dataAt(index));
    const isFile = type === "file" || external !== undefined;
    const found = isFile ? this.#fileChecksum(checksum, data, external) : computeChecksum(data);
    if (found !== checksum && type !== undefined)
      throw new CfsError("Corrupt", `${type} ${checksum} has the checksum ${found}`);
  }

  #fileChecksum(checksum: Checksum, data: Uint8Array, external: ObjectId | undefined): Checksum {
    const length = archiveHeaderLength(data);
    const { header, size } = parseArchiveHeader(data.subarray(0, length));
    const hasher = new FileHasher(header);
    hasher.update(data.subarray(length));
    const contentSize = external === undefined ? data.length - length : this.#content(external, hasher);
    // The checksum does not cover it.
    if (contentSize !== size)
      throw new CfsError("Corrupt", `file ${checksum} has ${contentSize} bytes instead of ${size}`);
    return hasher.digest();
  }

  #content(id: ObjectId, hasher: FileHasher): number {
    using file = this.#store.open(id);
    const { size } = fstat(file);
    for (let at = 0; at < size; at += PIECE) {
      const length = pread(file.fd, this.#buffer, at, file.path);
      hasher.update(this.#buffer.subarray(0, length));
      this.#done.add(length);
    }
    return size;
  }
}
