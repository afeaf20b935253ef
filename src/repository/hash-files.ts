import { type ByteString, display } from "../bytes.ts";
import { withContext } from "../errors.ts";
import { DoneBytes } from "../parallel/done-bytes.ts";
import { workTogether } from "../parallel/together.ts";
import type { Progress } from "../progress.ts";
import type { Fd } from "../sys/fd.ts";
import { O_DIRECTORY, O_RDONLY } from "../sys/file.ts";
import { openBeneath } from "../sys/openat2.ts";
import { type Algorithm, algorithmOf, type HashName, type ObjectId } from "../verity/digest.ts";
import { BlockBuffer, VerityHasher } from "../verity/merkle.ts";
import { offerFastHash } from "./fast-hash.ts";
import { type FileGroup, versionAt } from "./file-list.ts";
import { ObjectStore, type ObjectStoreHandle } from "./objects.ts";
import type { ScannedDirectory } from "./scan-directory.ts";
import { UnchangedFile } from "./unchanged-file.ts";

export interface HashOptions {
  readonly algorithm: Algorithm;
  /** Where to store the files; without it they are only hashed. */
  readonly store?: ObjectStoreHandle;
  /** Threads, this one included. */
  readonly jobs: number;
  readonly progress: Progress;
}

/** What all threads are given. */
export interface HashFilesPayload {
  /** Descriptor of the scanned directory, valid in all threads of the process. */
  readonly top: number;
  readonly label: string;
  readonly hash: HashName;
  readonly store: ObjectStoreHandle | undefined;
  readonly groups: readonly FileGroup[];
  /** Of a `FileList`. */
  readonly versions: SharedArrayBuffer;
  /** Filled with the digests of all files. */
  readonly digests: SharedArrayBuffer;
  /** Number of the next group that nobody has begun; then bytes done. */
  readonly shared: SharedArrayBuffer;
}

/** Less than this is done before a line about it could be read. */
const PROGRESS_BYTES = 64 * 1024 * 1024;
/** 1 MiB; larger files are hashed piece by piece. */
const BUFFER_BLOCKS = 256;
/** Longer paths are opened in several steps (PATH_MAX is 4096). */
const MAX_STEP = 4000;

/**
 * Hashes the files of a scanned tree, stores them when asked to, and gives its leaves their digests.
 * @param aloneMs how long this thread works before it asks others for help.
 * @throws CfsError naming the file that can't be read, has changed since it was scanned, or can't be stored.
 */
export async function hashScannedFiles(
  scanned: ScannedDirectory,
  options: HashOptions,
  aloneMs?: number,
): Promise<void> {
  const { files } = scanned;
  const { algorithm, store, jobs, progress } = options;
  if (files.length === 0) return;
  const payload: HashFilesPayload = {
    top: scanned.fd.fd,
    label: files.label,
    hash: algorithm.hash,
    store,
    groups: files.groups,
    versions: files.finish(),
    digests: new SharedArrayBuffer(files.length * algorithm.size),
    shared: new SharedArrayBuffer(16),
  };
  const id = "files";
  const isLong = files.totalBytes >= PROGRESS_BYTES;
  if (isLong) {
    const label = `${store === undefined ? "hashing" : "storing"} ${files.length} files`;
    progress.event({ type: "start", id, label, totalBytes: files.totalBytes });
  }
  const onBytes = (bytes: number) => {
    if (isLong) progress.event({ type: "advance", id, bytes });
  };
  const task = new HashTask(payload, onBytes);
  await workTogether(
    { job: "hash-files", payload, work: (deadlineMs) => task.run(deadlineMs), left: () => task.groupsLeft },
    jobs,
    aloneMs,
  );
  if (isLong) progress.event({ type: "done", id, bytes: files.totalBytes });
  files.setDigests(Buffer.from(payload.digests), algorithm);
}

/** The job of a worker thread: takes group after group until none is left. */
export function hashFiles(payload: HashFilesPayload): void {
  new HashTask(payload).run(Number.POSITIVE_INFINITY);
}

class HashTask {
  readonly #payload: HashFilesPayload;
  readonly #algorithm: Algorithm;
  readonly #buffer: BlockBuffer;
  readonly #store: ObjectStore | undefined;
  readonly #versions: Float64Array;
  readonly #digests: Buffer;
  readonly #next: Int32Array;
  readonly #done: DoneBytes;

  constructor(payload: HashFilesPayload, onBytes?: (bytes: number) => void) {
    offerFastHash();
    this.#payload = payload;
    this.#algorithm = algorithmOf(payload.hash);
    this.#buffer = new BlockBuffer(BUFFER_BLOCKS, this.#algorithm);
    this.#store = payload.store && new ObjectStore(payload.store);
    this.#versions = new Float64Array(payload.versions);
    this.#digests = Buffer.from(payload.digests);
    this.#next = new Int32Array(payload.shared, 0, 1);
    this.#done = new DoneBytes(payload.shared, 8, onBytes);
  }

  /** Groups that nobody has begun. */
  get groupsLeft(): number {
    return Math.max(0, this.#payload.groups.length - Atomics.load(this.#next, 0));
  }

  /** @param deadlineMs as `performance.now` tells the time. */
  run(deadlineMs: number): void {
    const { groups } = this.#payload;
    try {
      while (performance.now() < deadlineMs) {
        const group = groups[Atomics.add(this.#next, 0, 1)];
        if (group === undefined) break;
        this.#hashGroup(group);
      }
    } catch (error) {
      // The others have nothing left to do either.
      Atomics.store(this.#next, 0, groups.length);
      throw error;
    } finally {
      this.#store?.close();
    }
  }

  #hashGroup({ path, first, names }: FileGroup): void {
    using directory = this.#openDirectory(path);
    for (const [i, name] of names.split("/").entries()) {
      const label = () => `${directory.path}/${display(name)}`;
      const id = this.#hashFile(directory.fd, name, first + i, label);
      this.#digests.hexWrite(id, (first + i) * this.#algorithm.size);
    }
  }

  /** The file's digest; it is stored then, if there is a store. */
  #hashFile(dirfd: number, name: ByteString, index: number, label: () => string): ObjectId {
    const version = versionAt(this.#versions, index);
    const { size } = version;
    using file = new UnchangedFile(dirfd, name, version, label);
    if (size > this.#buffer.bytes.length) return this.#hashLarge(file, size);
    const bytes = this.#buffer.bytes.subarray(0, size);
    file.read(bytes, 0);
    file.finish();
    const id = this.#buffer.digest(size);
    this.#store?.storeKnown(id, bytes);
    this.#done.add(size);
    return id;
  }

  #hashLarge(file: UnchangedFile, size: number): ObjectId {
    const readAll = (take: (piece: Uint8Array) => void) => {
      const buffer = this.#buffer.bytes;
      for (let offset = 0; offset < size; offset += buffer.length) {
        const piece = buffer.subarray(0, Math.min(buffer.length, size - offset));
        file.read(piece, offset);
        take(piece);
        this.#done.add(piece.length);
      }
      file.finish();
    };
    if (this.#store !== undefined) return this.#store.storeStream(readAll).id;
    const hasher = new VerityHasher(this.#algorithm);
    readAll((piece) => hasher.update(piece));
    return hasher.digest();
  }

  /** A directory of the scanned tree, reached without following any symbolic link. */
  #openDirectory(path: ByteString): Fd {
    const label = path === "" ? this.#payload.label : `${this.#payload.label}/${display(path)}`;
    try {
      let directory = openBeneath(this.#payload.top, stepOf(path) || ".", DIRECTORY, "refuse", label);
      for (let rest = path.slice(stepOf(path).length + 1); rest !== ""; ) {
        using parent = directory;
        const step = stepOf(rest);
        directory = openBeneath(parent.fd, step, DIRECTORY, "refuse", label);
        rest = rest.slice(step.length + 1);
      }
      return directory;
    } catch (error) {
      throw withContext(`${label} changed while it was read`, error);
    }
  }
}

const DIRECTORY = O_RDONLY | O_DIRECTORY;

/** As many components of a path as fit into one call. */
function stepOf(path: ByteString): ByteString {
  return path.length <= MAX_STEP ? path : path.slice(0, path.lastIndexOf("/", MAX_STEP));
}
