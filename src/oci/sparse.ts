import { byteString, bytesOf } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { NewObject, ObjectStore } from "../repository/objects.ts";
import { pread, pwriteAll } from "../sys/file.ts";
import type { SparseRun, TarEntry } from "../tar/entry.ts";
import { MAX_IN_BODY_MAP, parseInBodyMap } from "../tar/sparse.ts";
import { type Content, INLINE_LIMIT } from "../tree/model.ts";
import type { ObjectId } from "../verity/digest.ts";
import { BLOCK_SIZE, hashBlocks, VerityHasher } from "../verity/merkle.ts";
import type { LayerContent } from "./layer-entries.ts";
import type { ExpandSparse } from "./layering.ts";

/** Holes cost little, but not nothing: every block of a file takes part in its digest. */
const MAX_REAL_SIZE = 256 * 1024 ** 3;
const COPY_SIZE = 1024 * 1024;

/**
 * Expands sparse files of layers: images hold the file as a reader would see it.
 * @param mode "store" writes the expanded files into the repository, "compute" only finds out what they would be.
 */
export function sparseExpander(store: ObjectStore, mode: "store" | "compute"): ExpandSparse {
  return (entry, stored) => {
    using input = new StoredBody(store, stored);
    return expand(entry, input, store, mode);
  };
}

function expand(entry: TarEntry, input: StoredBody, store: ObjectStore, mode: "store" | "compute"): Content {
  const declared = entry.sparse!;
  if (declared.realSize > MAX_REAL_SIZE) {
    throw new CfsError("Unsupported", `a sparse file of ${declared.realSize} bytes is too large to expand`);
  }
  let runs: readonly SparseRun[] = [];
  let dataOffset = 0;
  if (declared.runs === "in-body") {
    const head = input.read(0, Math.min(input.size, MAX_IN_BODY_MAP));
    const map = parseInBodyMap(head, declared.realSize, input.size);
    ({ runs, dataOffset } = map);
  } else runs = declared.runs;

  if (declared.realSize <= INLINE_LIMIT) {
    const data = new Uint8Array(declared.realSize);
    let from = dataOffset;
    for (const { offset, length } of runs) {
      data.set(input.read(from, length), offset);
      from += length;
    }
    return { type: "inline", data: byteString(data) };
  }
  const file = mode === "store" ? store.begin() : undefined;
  let id: ObjectId;
  try {
    const output = new ExpandedFile(store, file);
    let from = dataOffset;
    for (const { offset, length } of runs) {
      output.holeUntil(offset);
      for (let done = 0; done < length; ) {
        const piece = input.read(from + done, Math.min(COPY_SIZE, length - done));
        output.write(piece);
        done += piece.length;
      }
      from += length;
    }
    output.holeUntil(declared.realSize);
    id = output.finish();
  } catch (error) {
    if (file !== undefined) store.abandon(file);
    throw error;
  }
  if (file !== undefined) store.commit(file, id, declared.realSize);
  return { type: "external", id, size: BigInt(declared.realSize) };
}

/** The body of an entry as it is in the archive. */
class StoredBody implements Disposable {
  readonly #bytes: Uint8Array | undefined;
  readonly #object: ReturnType<ObjectStore["open"]> | undefined;
  readonly size: number;

  constructor(store: ObjectStore, stored: LayerContent) {
    if (stored.type === "inline") {
      this.#bytes = bytesOf(stored.data);
      this.size = this.#bytes.length;
    } else {
      this.#object = store.open(stored.id);
      this.size = stored.size;
    }
  }

  read(offset: number, length: number): Uint8Array {
    if (this.#object === undefined) return this.#bytes!.subarray(offset, offset + length);
    const piece = new Uint8Array(length);
    if (pread(this.#object.fd, piece, offset, this.#object.path) !== length)
      throw new CfsError("Corrupt", `${this.#object.path} ends unexpectedly`);
    return piece;
  }

  [Symbol.dispose](): void {
    this.#object?.close();
  }
}

/** Digest of the expanded file, and the file itself with holes when it is to be stored. */
class ExpandedFile {
  readonly #hasher: VerityHasher;
  readonly #file: NewObject | undefined;
  readonly #zeros = new Uint8Array(BLOCK_SIZE);
  /** Hashes of as many zero blocks. */
  readonly #zeroHashes: Uint8Array;
  static readonly #BATCH = 1024;
  #endsInHole = false;

  constructor(store: ObjectStore, file: NewObject | undefined) {
    const { algorithm } = store;
    this.#hasher = new VerityHasher(algorithm);
    this.#file = file;
    this.#zeroHashes = new Uint8Array(algorithm.size * ExpandedFile.#BATCH);
    hashBlocks(this.#zeros, 0, BLOCK_SIZE, this.#zeroHashes, 0, algorithm);
    for (let i = 1; i < ExpandedFile.#BATCH; i++)
      this.#zeroHashes.copyWithin(i * algorithm.size, 0, algorithm.size);
  }

  write(data: Uint8Array): void {
    if (this.#file !== undefined) pwriteAll(this.#file.fd, data, this.#hasher.size, "objects");
    this.#hasher.update(data);
    this.#endsInHole = false;
  }

  holeUntil(end: number): void {
    const hasher = this.#hasher;
    if (end <= hasher.size) return;
    this.#endsInHole = true;
    const toBoundary = (BLOCK_SIZE - (hasher.size % BLOCK_SIZE)) % BLOCK_SIZE;
    hasher.update(this.#zeros.subarray(0, Math.min(toBoundary, end - hasher.size)));
    const digestSize = this.#zeroHashes.length / ExpandedFile.#BATCH;
    while (end - hasher.size >= BLOCK_SIZE) {
      const blocks = Math.min(ExpandedFile.#BATCH, Math.floor((end - hasher.size) / BLOCK_SIZE));
      hasher.updateHashed(this.#zeroHashes.subarray(0, blocks * digestSize), blocks * BLOCK_SIZE);
    }
    hasher.update(this.#zeros.subarray(0, end - hasher.size));
  }

  finish(): ObjectId {
    // The last byte gives the file its size; what lies before stays a hole.
    if (this.#endsInHole && this.#file !== undefined)
      pwriteAll(this.#file.fd, this.#zeros.subarray(0, 1), this.#hasher.size - 1, "objects");
    return this.#hasher.digest();
  }
}
