import type { NewObject, ObjectStore } from "../../repository/objects.ts";
import { CONTENT_BLOB } from "../../splitstream/format.ts";
import { SplitstreamWriter, toBytes } from "../../splitstream/writer.ts";
import { writeAll } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { VerityHasher } from "../../verity/merkle.ts";
import type { BlobInput } from "./blob-input.ts";
import type { SplitLayer } from "./layer-splitter.ts";

const PIECE = 256 * 1024;

/**
 * Stores a blob as one object and makes the splitstream that names it.
 * @param verify called with the hash of the content before anything is stored under its name; throws to refuse it.
 */
export function storeBlob(
  store: ObjectStore,
  input: BlobInput,
  onProgress: (consumed: number) => void,
  verify: (plainDigest: string) => void,
): SplitLayer {
  const piece = new Uint8Array(PIECE);
  const { id, size, created } = store.storeStream((write) => {
    for (let atEnd = false; !atEnd; ) {
      const length = input.fill(piece, 0, PIECE);
      write(piece.subarray(0, length));
      onProgress(input.consumed);
      atEnd = length < PIECE;
    }
    verify(input.finish());
  });
  return {
    id: storeBlobStream(store, id, size),
    entries: undefined,
    externals: new Uint32Array(0),
    statistics: {
      newObjects: created ? 1 : 0,
      presentObjects: created ? 0 : 1,
      storedBytes: created ? size : 0,
      inlinedBytes: 0,
    },
  };
}

/** The splitstream of a blob that is one object. @returns its object. */
function storeBlobStream(store: ObjectStore, id: ObjectId, size: number): ObjectId {
  const writer = new SplitstreamWriter(store.algorithm, CONTENT_BLOB);
  writer.external(id, size);
  return store.storeBytes(toBytes(writer.finish())).id;
}

/** Stores a blob piece by piece, beside whatever else is done with it. Without `finish`, nothing of it stays. */
export class BlobCopy implements Disposable {
  readonly #store: ObjectStore;
  readonly #hasher: VerityHasher;
  #file: NewObject | undefined;

  constructor(store: ObjectStore) {
    this.#store = store;
    this.#hasher = new VerityHasher(store.algorithm);
    this.#file = store.begin();
  }

  write(piece: Uint8Array<ArrayBuffer>): void {
    this.#hasher.update(piece);
    writeAll(this.#file!.fd, piece, "objects");
  }

  /** To be called when the blob is verified. @returns the object of the splitstream that names it. */
  finish(): ObjectId {
    const file = this.#file!;
    this.#file = undefined;
    const { size } = this.#hasher;
    const id = this.#hasher.digest();
    this.#store.commit(file, id, size);
    return storeBlobStream(this.#store, id, size);
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) this.#store.abandon(this.#file);
  }
}
