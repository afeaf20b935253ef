import { CfsError, describeError } from "../../errors.ts";
import { WorkerPool } from "../../parallel/pool.ts";
import type { Repository } from "../../repository/repository.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { pwriteAll } from "../../sys/file.ts";
import { libc } from "../../sys/libc.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { Checksum } from "../checksum.ts";
import type { OstreeSource, RemoteFiles } from "../source.ts";
import { FileBundle } from "./file-bundle.ts";
import { type FileBatch, type FileBatchResult, storeFiles } from "./file-job.ts";
import { FileQueue } from "./file-queue.ts";

/** What became of a file: see `StoredObject`. */
export type OnFile = (checksum: Checksum, data: Uint8Array, external: ObjectId | undefined) => void;

export interface FileFetcherOptions {
  /** Threads. */
  readonly jobs: number;
  readonly onFile: OnFile;
  /** Bytes of content that have been stored since the last call. */
  readonly onBytes: (bytes: number) => void;
  /** Where files are remembered before they are stored: see `recordFile`. */
  readonly record?: number | undefined;
  /** Told of a file that arrived wrong, and is fetched once more. */
  readonly onWrong: (what: string) => void;
}

/** What a thread does before it reports. */
const BATCH_FILES = 48;
/** One to work on and one to go on with; besides, one is being filled. */
const BUNDLES_PER_THREAD = 2;
/** As many must be wanted before others are started while it is still being found out what is needed. */
const START_FILES = 256;
/** The thread that sees to the others comes back from its own work after so many files. */
const OWN_FILES = 16;
/** What this thread does alone in this time is not worth starting others. */
const ALONE_MS = 25;

/** Brings files into the repository, many at a time, while it is still being found out which ones are needed. */
export class FileFetcher implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #source: OstreeSource;
  readonly #options: FileFetcherOptions;
  readonly #pool: WorkerPool | undefined;
  readonly #abort = new AbortController();
  /** Batches in other threads, and files that are being fetched. */
  readonly #underWay = new Set<Promise<void>>();
  /** Fulfilled when something under way ends. */
  #changed = Promise.withResolvers<void>();
  #failure: { readonly error: unknown } | undefined;
  /** Files that nobody has begun with, and that are not in the queue. */
  #waiting: Checksum[] = [];
  #queue = FileQueue.of([]);
  /** Files that were fetched go here. */
  #bundle: FileBundle | undefined;
  /** Those that nobody uses at present. */
  readonly #spareBundles: FileBundle[] = [];
  #bundles = 0;
  #fetching = 0;
  readonly #fetchedAgain = new Set<Checksum>();
  /** Whether others have been given something that was fetched. */
  #hasThreads = false;

  constructor(repository: Repository, source: OstreeSource, options: FileFetcherOptions) {
    this.#repository = repository;
    this.#source = source;
    this.#options = options;
    // This thread is one of them, unless it has to see to transfers.
    const others = source.files.kind === "local" ? options.jobs - 1 : options.jobs;
    this.#pool = options.jobs > 1 ? new WorkerPool(others) : undefined;
  }

  /** The error that ended the work, if one did. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** Wants a file, once. */
  add(checksum: Checksum): void {
    if (this.#failure !== undefined) return;
    this.#waiting.push(checksum);
    const { files } = this.#source;
    if (files.kind === "remote") this.#fetchMore(files);
    else if (this.#waiting.length >= START_FILES) this.#feed();
  }

  /** Waits until all files are stored. @throws what went wrong first. */
  async finish(): Promise<void> {
    if (this.#source.files.kind === "local") await this.#finishLocal();
    while (this.#underWay.size > 0 || this.#bundle !== undefined) {
      if (this.#failure !== undefined) break;
      if (this.#fetching === 0) this.#submitBundle();
      if (this.#underWay.size > 0) await this.#changed.promise;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Ends what is under way; nothing is written after this. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#underWay);
    this.#bundle?.close();
    await this.#pool?.[Symbol.asyncDispose]();
  }

  async #finishLocal(): Promise<void> {
    const start = performance.now();
    let isAlone = this.#underWay.size === 0;
    while (this.#failure === undefined && this.#fillQueue()) {
      isAlone &&= performance.now() - start < ALONE_MS;
      if (!isAlone) this.#feed();
      const queue = this.#queue;
      this.#take((i) => queue.checksum(i), storeFiles(this.#queueBatch(OWN_FILES)));
      // Lets other threads be given work, progress be shown, and signals be seen.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Sees to it that the other threads have something to do, and something to go on with. */
  #feed(): void {
    const limit = 2 * (this.#pool?.size ?? 0);
    while (this.#underWay.size < limit && this.#failure === undefined && this.#fillQueue()) {
      const queue = this.#queue;
      this.#submit((i) => queue.checksum(i), this.#queueBatch(BATCH_FILES));
    }
  }

  /** Moves what waits to the queue when that is empty. @returns whether there is something in it. */
  #fillQueue(): boolean {
    if (this.#queue.isEmpty && this.#waiting.length > 0) {
      this.#queue = FileQueue.of(this.#waiting);
      this.#waiting = [];
    }
    return !this.#queue.isEmpty;
  }

  #queueBatch(max: number): FileBatch {
    const { files, label } = this.#source;
    if (files.kind !== "local") throw new TypeError("the source is not a directory");
    const queued = { repository: files, queue: this.#queue.handle, max };
    return { store: this.#repository.objects.handle, label, files: queued };
  }

  #submit(checksumAt: (index: number) => Checksum, batch: FileBatch, done?: () => void): void {
    this.#track(async () => {
      const result =
        this.#pool === undefined
          ? storeFiles(batch)
          : await this.#pool.submit<FileBatch, FileBatchResult>("store-ostree-files", batch);
      this.#take(checksumAt, result);
      done?.();
    });
  }

  #take(checksumAt: (index: number) => Checksum, result: FileBatchResult): void {
    const { size } = this.#repository.algorithm;
    const externals = Buffer.from(result.externals.buffer);
    let at = 0;
    for (const [i, index] of result.indices.entries()) {
      const length = result.lengths[i]!;
      const external =
        result.isExternal[i] === 1 ? (externals.hexSlice(i * size, (i + 1) * size) as ObjectId) : undefined;
      this.#options.onFile(checksumAt(index), result.data.subarray(at, at + length), external);
      at += length;
    }
    this.#options.onBytes(result.bytes);
    for (const { index, what } of result.wrong) this.#fetchAgain(checksumAt(index), what);
  }

  /** What spoilt it may have been on the way. */
  #fetchAgain(checksum: Checksum, what: string): void {
    if (this.#fetchedAgain.has(checksum)) throw new CfsError("Corrupt", what);
    this.#fetchedAgain.add(checksum);
    this.#options.onWrong(what);
    this.#waiting.push(checksum);
  }

  #fetchMore(files: RemoteFiles): void {
    // What was fetched waits in memory for a thread: no more is fetched than the threads keep up with.
    const limit = () => this.#fetching < files.concurrency && this.#underWay.size < files.concurrency * 2;
    while (this.#waiting.length > 0 && this.#failure === undefined && limit()) {
      const checksum = this.#waiting.pop()!;
      this.#fetching++;
      this.#track(async () => {
        try {
          await this.#fetch(files, checksum);
        } finally {
          this.#fetching--;
        }
      });
    }
  }

  async #fetch(files: RemoteFiles, checksum: Checksum): Promise<void> {
    const { signal } = this.#abort;
    let fd: number;
    try {
      const fetched = await files.fetchFile(checksum, signal);
      if ("parts" in fetched)
        return await this.#fill(fetched.size, (bundle) => bundle.add(checksum, fetched.parts));
      fd = await this.#writeTemporary(fetched.pieces);
    } catch (error) {
      if (!(error instanceof CfsError) || error.kind !== "Corrupt") throw error;
      return this.#fetchAgain(checksum, `${this.#source.label}: ${describeError(error)}`);
    }
    try {
      await this.#fill(0, (bundle) => bundle.addOpen(checksum, fd));
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  async #writeTemporary(pieces: AsyncIterable<Uint8Array>): Promise<number> {
    const fd = openTemporary(this.#repository.dir.fd);
    try {
      let length = 0;
      for await (const piece of pieces) {
        this.#abort.signal.throwIfAborted();
        pwriteAll(fd, piece, length, "temporary file");
        length += piece.length;
      }
      return fd;
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  /** Adds to the bundle that is being filled; waits while all are with other threads. */
  async #fill(size: number, add: (bundle: FileBundle) => void): Promise<void> {
    for (;;) {
      this.#abort.signal.throwIfAborted();
      if (this.#bundle?.hasRoomFor(size) === true) break;
      this.#submitBundle();
      this.#bundle = this.#spareBundle();
      if (this.#bundle === undefined) await this.#changed.promise;
    }
    add(this.#bundle);
    if (this.#bundle.isFull) this.#submitBundle();
  }

  #spareBundle(): FileBundle | undefined {
    const spare = this.#spareBundles.pop();
    if (spare !== undefined || this.#bundles > BUNDLES_PER_THREAD * (this.#pool?.size ?? 1)) return spare;
    this.#bundles++;
    return new FileBundle();
  }

  #submitBundle(): void {
    const bundle = this.#bundle;
    if (bundle === undefined) return;
    this.#bundle = undefined;
    const batch = {
      store: this.#repository.objects.handle,
      label: this.#source.label,
      files: bundle.handle,
      record: this.#options.record,
    };
    const checksumAt = (index: number) => bundle.checksum(index);
    const done = () => {
      bundle.reset();
      this.#spareBundles.push(bundle);
    };
    // What is nearly all there is to be stored is stored by the time that a thread has started.
    if (!this.#hasThreads && this.#waiting.length === 0 && this.#fetching === 0) {
      this.#track(async () => {
        this.#take(checksumAt, storeFiles(batch));
        done();
      });
      return;
    }
    this.#hasThreads = true;
    this.#submit(checksumAt, batch, done);
  }

  #track(work: () => Promise<void>): void {
    const promise = work()
      .catch((error: unknown) => {
        this.#failure ??= { error };
        this.#abort.abort();
      })
      .then(() => {
        this.#underWay.delete(promise);
        this.#changed.resolve();
        this.#changed = Promise.withResolvers();
        // Whatever ended, there may be room for another one now.
        const { files } = this.#source;
        if (files.kind === "remote") this.#fetchMore(files);
      });
    this.#underWay.add(promise);
  }
}
