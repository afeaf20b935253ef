import { CfsError } from "../errors.ts";
import { cloneFile } from "../sys/clone.ts";
import type { Fd } from "../sys/fd.ts";
import { pread, pwriteAll } from "../sys/file.ts";
import { fstat } from "../sys/stat.ts";
import { formatObjectId, type ObjectId } from "../verity/digest.ts";
import { fsVerityDigest, VerityHasher } from "../verity/merkle.ts";
import type { NewObject, ObjectStore } from "./objects.ts";

/** How an object came to be in the store. */
export type Arrival = "present" | "copied" | "reflinked" | "hardlinked";

export interface CopiedObject {
  /** Its id here; the same as there when both repositories have the same algorithm. */
  readonly id: ObjectId;
  readonly size: number;
  readonly arrival: Arrival;
}

const PIECE = 256 * 1024;
/** What others than the owner of a file that is to be shared may not have: it could be changed behind our back. */
const UNSAFE_MODE = 0o7022;

/** Copies objects from one store to another; all bytes are read, and compared with the digest that names them. */
export class ObjectCopier {
  readonly #source: ObjectStore;
  readonly #target: ObjectStore;
  readonly #share: boolean;
  readonly #buffer = new Uint8Array(PIECE);
  readonly #user = process.geteuid?.() ?? 0;

  /** @param share let both stores have the same blocks, or the same file, where that is possible. */
  constructor(source: ObjectStore, target: ObjectStore, share: boolean) {
    this.#source = source;
    this.#target = target;
    this.#share = share && source.algorithm.hash === target.algorithm.hash;
  }

  /**
   * @param onBytes gets the content of the object, in pieces that are valid until it returns.
   * @throws CfsError NotFound, Corrupt
   */
  copy(id: ObjectId, onBytes: (piece: Uint8Array<ArrayBuffer>) => void): CopiedObject {
    using file = this.#source.open(id);
    const { size } = fstat(file);
    return size <= PIECE
      ? this.#copySmall(file, id, size, onBytes)
      : this.#copyLarge(file, id, size, onBytes);
  }

  #copySmall(
    file: Fd,
    sourceId: ObjectId,
    size: number,
    onBytes: (piece: Uint8Array<ArrayBuffer>) => void,
  ): CopiedObject {
    const bytes = this.#buffer.subarray(0, size);
    if (pread(file.fd, bytes, 0, file.path) !== size) throw this.#damaged(sourceId);
    const id = fsVerityDigest(bytes, this.#target.algorithm);
    this.#expect(sourceId, id);
    onBytes(bytes);
    const shared = this.#tryShare(file, id, size);
    if (shared !== undefined) return { id, size, arrival: shared };
    return { id, size, arrival: this.#target.storeKnown(id, bytes) ? "copied" : "present" };
  }

  #copyLarge(
    file: Fd,
    sourceId: ObjectId,
    size: number,
    onBytes: (piece: Uint8Array<ArrayBuffer>) => void,
  ): CopiedObject {
    const target = this.#target;
    const isPresent = this.#sameAlgorithm && target.isStored(sourceId, size);
    let copy: NewObject | undefined = isPresent || this.#share ? undefined : target.begin();
    try {
      const id = this.#read(file, sourceId, size, (piece, offset) => {
        if (copy !== undefined) pwriteAll(copy.fd, piece, offset, "objects");
        onBytes(piece);
      });
      if (isPresent) return { id, size, arrival: "present" };
      if (copy === undefined) {
        const shared = this.#tryShare(file, id, size);
        if (shared !== undefined) return { id, size, arrival: shared };
        const file2 = target.begin();
        copy = file2;
        this.#read(file, sourceId, size, (piece, offset) => pwriteAll(file2.fd, piece, offset, "objects"));
      }
      const filled = copy;
      copy = undefined;
      return { id, size, arrival: target.commit(filled, id, size) ? "copied" : "present" };
    } finally {
      if (copy !== undefined) target.abandon(copy);
    }
  }

  get #sameAlgorithm(): boolean {
    return this.#source.algorithm.hash === this.#target.algorithm.hash;
  }

  /** @returns the digest of the content by the target's algorithm. */
  #read(
    file: Fd,
    sourceId: ObjectId,
    size: number,
    onBytes: (piece: Uint8Array<ArrayBuffer>, offset: number) => void,
  ): ObjectId {
    const hasher = new VerityHasher(this.#target.algorithm);
    for (let at = 0; at < size; ) {
      const piece = this.#buffer.subarray(0, Math.min(PIECE, size - at));
      if (pread(file.fd, piece, at, file.path) !== piece.length) throw this.#damaged(sourceId);
      hasher.update(piece);
      onBytes(piece, at);
      at += piece.length;
    }
    const id = hasher.digest();
    this.#expect(sourceId, id);
    return id;
  }

  /** @returns undefined when the object has to be copied, or is here already. */
  #tryShare(file: Fd, id: ObjectId, size: number): Arrival | undefined {
    if (!this.#share) return undefined;
    const target = this.#target;
    if (target.sizeOf(id) === size) return undefined;
    const clone = target.begin();
    let cloned = false;
    try {
      cloned = cloneFile(file.fd, clone.fd, file.path);
    } finally {
      if (!cloned) target.abandon(clone);
    }
    if (cloned) return target.commit(clone, id, size) ? "reflinked" : "present";
    const { mode, uid } = fstat(file);
    const isSafe = (mode & UNSAFE_MODE) === 0 && (uid === 0 || uid === this.#user);
    return isSafe && target.tryShare(file, id, size) ? "hardlinked" : undefined;
  }

  #expect(sourceId: ObjectId, found: ObjectId): void {
    if (this.#sameAlgorithm && found !== sourceId) throw this.#damaged(sourceId);
  }

  #damaged(id: ObjectId): CfsError {
    const name = formatObjectId(id, this.#source.algorithm);
    return new CfsError("Corrupt", `the source's object ${name} does not have the content of its digest`, {
      hint: "run `cfsctl fsck` on the source repository",
    });
  }
}
