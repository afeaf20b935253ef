import { CfsError, describeError, withContext } from "../../errors.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { Fd } from "../../sys/fd.ts";
import type { Algorithm } from "../../verity/digest.ts";
import type { Checksum } from "../checksum.ts";
import { objectFile, openBareFile, openObject, readerOf } from "../local/open-file.ts";
import type { LocalFiles } from "../source.ts";
import type { BundledFile, BundleHandle } from "./file-bundle.ts";
import { FileQueue, type FileQueueHandle } from "./file-queue.ts";
import { type BeforeNaming, FileStorer, type StoredFile } from "./file-storer.ts";
import { recordFile } from "./record-entries.ts";

/** Files to be verified and stored together. */
export interface FileBatch {
  readonly store: ObjectStoreHandle;
  /** Where the files come from, for messages. */
  readonly label: string;
  readonly files: QueuedFiles | BundleHandle;
  /** Where files are remembered: see `recordFile`. */
  readonly record?: number | undefined;
}

/** Files of a repository that wait for a thread. */
export interface QueuedFiles {
  readonly repository: LocalFiles;
  readonly queue: FileQueueHandle;
  /** How many of them to take at most. */
  readonly max: number;
}

/** What became of the files of a batch. */
export interface FileBatchResult {
  /** Which files they are: indices into what was given. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** Bytes of `data` of each. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** As the commit stream has it, one after the other. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** A digest for each file; only where `isExternal` is 1. */
  readonly externals: Uint8Array<ArrayBuffer>;
  readonly isExternal: Uint8Array<ArrayBuffer>;
  /** Of content. */
  readonly bytes: number;
  /** Fetched files that are not what their checksum says. */
  readonly wrong: readonly WrongFile[];
}

export interface WrongFile {
  readonly index: number;
  readonly what: string;
}

/** Verifies and stores files: the job of a worker thread. */
export function storeFiles({ store: handle, label, files, record }: FileBatch): FileBatchResult {
  const store = new ObjectStore(handle);
  const remember: BeforeNaming | undefined =
    record === undefined ? undefined : (...file) => recordFile(record, ...file);
  const storer = new FileStorer(store, remember);
  const results = new Results(handle.algorithm, "queue" in files ? files.max : files.files.length);
  const take = (index: number, checksum: Checksum, work: () => StoredFile) => {
    try {
      results.add(index, work());
    } catch (error) {
      throw withContext(`${label}: file ${checksum}`, error);
    }
  };
  try {
    if ("queue" in files) {
      const queue = new FileQueue(files.queue);
      while (!results.isFull) {
        const index = queue.take();
        if (index === undefined) break;
        const checksum = queue.checksum(index);
        take(index, checksum, () => storeLocal(files.repository, checksum, storer));
      }
    } else {
      for (const [i, file] of files.files.entries()) {
        try {
          take(i, file.checksum, () => storeFetched(files.memory, file, storer));
        } catch (error) {
          if (!(error instanceof CfsError) || error.kind !== "Corrupt") throw error;
          results.addWrong(i, describeError(error));
        }
      }
    }
    return results.all();
  } finally {
    store.close();
  }
}

class Results {
  readonly #algorithm: Algorithm;
  readonly #indices: Uint32Array<ArrayBuffer>;
  readonly #lengths: Uint32Array<ArrayBuffer>;
  readonly #isExternal: Uint8Array<ArrayBuffer>;
  readonly #externals: Buffer<ArrayBuffer>;
  readonly #data: Uint8Array[] = [];
  readonly #wrong: WrongFile[] = [];
  #count = 0;
  #bytes = 0;

  constructor(algorithm: Algorithm, max: number) {
    this.#algorithm = algorithm;
    this.#indices = new Uint32Array(max);
    this.#lengths = new Uint32Array(max);
    this.#isExternal = new Uint8Array(max);
    this.#externals = Buffer.from(new ArrayBuffer(max * algorithm.size));
  }

  get isFull(): boolean {
    return this.#count === this.#indices.length;
  }

  add(index: number, { data, external, size }: StoredFile): void {
    const at = this.#count++;
    this.#indices[at] = index;
    this.#lengths[at] = data.length;
    this.#data.push(data);
    this.#bytes += size;
    if (external === undefined) return;
    this.#isExternal[at] = 1;
    this.#externals.hexWrite(external, at * this.#algorithm.size);
  }

  addWrong(index: number, what: string): void {
    this.#wrong.push({ index, what });
  }

  all(): FileBatchResult {
    return {
      indices: this.#indices.slice(0, this.#count),
      lengths: this.#lengths,
      data: new Uint8Array(Buffer.concat(this.#data)),
      externals: new Uint8Array(this.#externals.buffer),
      isExternal: this.#isExternal,
      bytes: this.#bytes,
      wrong: this.#wrong,
    };
  }
}

function storeLocal(files: LocalFiles, checksum: Checksum, storer: FileStorer): StoredFile {
  try {
    return storeFrom(files, checksum, storer);
  } catch (error) {
    if (files.parent === undefined || !(error instanceof CfsError && error.kind === "NotFound")) throw error;
    return storeLocal(files.parent, checksum, storer);
  }
}

function storeFrom(files: LocalFiles, checksum: Checksum, storer: FileStorer): StoredFile {
  if (files.mode === "archive") {
    using file = openObject(files.objectsFd, objectFile(checksum, "filez"));
    return storer.storeArchived(checksum, readerOf(file));
  }
  const file = openBareFile(files, checksum);
  if (file.content === undefined) return storer.storeSymlink(checksum, file.header);
  using content = file.content;
  return storer.storePlain(checksum, file.header, file.size, readerOf(content));
}

function storeFetched(memory: Uint8Array, file: BundledFile, storer: FileStorer): StoredFile {
  if ("fd" in file) {
    using content = new Fd(file.fd, "temporary file");
    return storer.storeArchived(file.checksum, readerOf(content));
  }
  const { checksum, start, end } = file;
  return storer.storeArchived(checksum, (buffer, position) => {
    const piece = memory.subarray(start + position, Math.min(start + position + buffer.length, end));
    buffer.set(piece);
    return piece.length;
  });
}
