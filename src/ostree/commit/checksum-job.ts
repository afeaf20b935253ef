import { CfsError } from "../../errors.ts";
import { DoneBytes } from "../../parallel/done-bytes.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { pread } from "../../sys/file.ts";
import { fstat } from "../../sys/stat.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { CHECKSUM_SIZE } from "../checksum.ts";

/** Files whose ostree checksums are asked for. All memory is shared by the threads. */
export interface ChecksumPayload {
  readonly store: ObjectStoreHandle;
  /** Number of files. */
  readonly count: number;
  /** The object with the content of each file, one after the other. */
  readonly objects: SharedArrayBuffer;
  /** Float64: size of each file in bytes. */
  readonly sizes: SharedArrayBuffer;
  /** Uint32: number of each file's header. */
  readonly headerOf: SharedArrayBuffer;
  /** The headers that are hashed before the content, one after the other, and as Uint32 where each ends. */
  readonly headers: SharedArrayBuffer;
  readonly headerEnds: SharedArrayBuffer;
  /** Filled with the checksums. */
  readonly checksums: SharedArrayBuffer;
  /** Number of the next file that nobody has begun; then, as 64 bits, bytes done. */
  readonly shared: SharedArrayBuffer;
}

/** A thread takes on so many files at a time. */
const GROUP = 32;
const PIECE = 1024 * 1024;

/** The job of a worker thread: takes file after file until none is left. */
export function computeChecksums(payload: ChecksumPayload): void {
  new ChecksumTask(payload).run(Number.POSITIVE_INFINITY);
}

export class ChecksumTask {
  readonly #payload: ChecksumPayload;
  readonly #store: ObjectStore;
  readonly #objects: Buffer;
  readonly #sizes: Float64Array;
  readonly #headerOf: Uint32Array;
  readonly #headers: Uint8Array;
  readonly #headerEnds: Uint32Array;
  readonly #checksums: Buffer;
  readonly #next: Int32Array;
  readonly #done: DoneBytes;
  readonly #piece = new Uint8Array(PIECE);

  /** @param onBytes hears, now and then, how many bytes all threads have done. */
  constructor(payload: ChecksumPayload, onBytes?: (bytes: number) => void) {
    this.#payload = payload;
    this.#store = new ObjectStore(payload.store);
    this.#objects = Buffer.from(payload.objects);
    this.#sizes = new Float64Array(payload.sizes);
    this.#headerOf = new Uint32Array(payload.headerOf);
    this.#headers = new Uint8Array(payload.headers);
    this.#headerEnds = new Uint32Array(payload.headerEnds);
    this.#checksums = Buffer.from(payload.checksums);
    this.#next = new Int32Array(payload.shared, 0, 1);
    this.#done = new DoneBytes(payload.shared, 8, onBytes);
  }

  /** Groups that nobody has begun. */
  get groupsLeft(): number {
    return Math.max(0, Math.ceil((this.#payload.count - Atomics.load(this.#next, 0)) / GROUP));
  }

  /** @param deadlineMs as `performance.now` tells the time. */
  run(deadlineMs: number): void {
    const { count } = this.#payload;
    try {
      while (performance.now() < deadlineMs) {
        const first = Atomics.add(this.#next, 0, GROUP);
        if (first >= count) break;
        for (let i = first; i < Math.min(first + GROUP, count); i++) this.#hash(i);
      }
    } catch (error) {
      // The others have nothing left to do either.
      Atomics.store(this.#next, 0, count);
      throw error;
    } finally {
      this.#store.close();
    }
  }

  #hash(index: number): void {
    const { size: digestSize } = this.#store.algorithm;
    const at = index * digestSize;
    using file = this.#store.open(this.#objects.hexSlice(at, at + digestSize) as ObjectId);
    const size = this.#sizes[index]!;
    const found = fstat(file).size;
    if (found !== size) {
      throw new CfsError("Corrupt", `${file.path} has ${found} bytes instead of ${size}`, {
        hint: "run `cfsctl fsck`",
      });
    }
    const header = this.#headerOf[index]!;
    const hasher = new Bun.CryptoHasher("sha256");
    hasher.update(
      this.#headers.slice(header === 0 ? 0 : this.#headerEnds[header - 1]!, this.#headerEnds[header]!),
    );
    for (let offset = 0; offset < size; ) {
      const piece = this.#piece.subarray(0, Math.min(PIECE, size - offset));
      if (pread(file.fd, piece, offset, file.path) !== piece.length)
        throw new CfsError("Io", `${file.path} ends unexpectedly`);
      hasher.update(piece);
      offset += piece.length;
      this.#done.add(piece.length);
    }
    this.#checksums.set(hasher.digest(), index * CHECKSUM_SIZE);
  }
}
