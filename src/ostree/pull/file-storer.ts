import { RawInflater } from "../../compress/inflate-raw.ts";
import { CfsError } from "../../errors.ts";
import type { NewObject, ObjectStore } from "../../repository/objects.ts";
import { pwriteAll } from "../../sys/file.ts";
import type { Algorithm, ObjectId } from "../../verity/digest.ts";
import { BLOCK_SIZE, BlockBuffer, VerityHasher } from "../../verity/merkle.ts";
import type { Checksum } from "../checksum.ts";
import type { StoredObject } from "../commit-table.ts";
import {
  archiveHeaderLength,
  encodeArchiveHeader,
  FileHasher,
  type FileHeader,
  isSymlink,
  PREFIX_SIZE,
  parseArchiveHeader,
} from "../file-header.ts";

/** Reads at a position into a buffer; less than fits only at the end. */
export type ReadAt = (buffer: Uint8Array, position: number) => number;

/** Told of a file whose content is about to get its name in the repository: see `StoredObject`. */
export type BeforeNaming = (checksum: Checksum, data: Uint8Array, external: ObjectId) => void;

/** A file that is in the repository, as far as its content is not in the data. */
export interface StoredFile extends StoredObject {
  /** Bytes of the content. */
  readonly size: number;
}

/** Content is worked on in pieces of this size; smaller files in one piece. */
const PIECE = 1024 * 1024;
/** Longer headers are no header of a real file: the kernel allows 64 KiB for all names and for each value of xattrs. */
const INPUT_SIZE = PIECE;

/** Content of up to two digests is kept with the header. */
export function inlineLimit({ size }: { size: number }): number {
  return 2 * size;
}

/** What work on files needs beside the store: making it takes as long as storing some small files. */
class Workspace {
  readonly inflater = new RawInflater();
  readonly input = new Uint8Array(INPUT_SIZE);
  /** One block more than a piece: room for the byte that shows that there is more than there should be. */
  readonly output: BlockBuffer;

  constructor(algorithm: Algorithm) {
    this.output = new BlockBuffer(PIECE / BLOCK_SIZE + 1, algorithm);
  }
}

/** Of this thread, which works on one file at a time. */
const workspaces = new Map<Algorithm["hash"], Workspace>();

function workspaceFor(algorithm: Algorithm): Workspace {
  let workspace = workspaces.get(algorithm.hash);
  if (workspace === undefined) {
    workspace = new Workspace(algorithm);
    workspaces.set(algorithm.hash, workspace);
  }
  return workspace;
}

/** Verifies ostree's files and stores their content as objects. Nothing is stored under a wrong name. */
export class FileStorer {
  readonly #store: ObjectStore;
  readonly #inflater: RawInflater;
  readonly #input: Uint8Array;
  readonly #output: BlockBuffer;
  readonly #beforeNaming: BeforeNaming | undefined;

  constructor(store: ObjectStore, beforeNaming?: BeforeNaming) {
    this.#store = store;
    this.#beforeNaming = beforeNaming;
    const { inflater, input, output } = workspaceFor(store.algorithm);
    this.#inflater = inflater;
    this.#input = input;
    this.#output = output;
  }

  /**
   * A file in the form of archives.
   * @throws CfsError Corrupt when it is not what its checksum and its header say.
   */
  storeArchived(checksum: Checksum, read: ReadAt): StoredFile {
    const input = this.#input;
    const length = read(input, 0);
    const start = archiveHeaderLength(input.subarray(0, Math.min(length, PREFIX_SIZE)));
    if (start > length) {
      throw new CfsError("Corrupt", `the file ends inside its header of ${start} bytes, or it is too large`);
    }
    const prefixed = input.slice(0, start);
    const { header, size } = parseArchiveHeader(prefixed);
    if (isSymlink(header)) {
      // Nothing, or deflate data of nothing.
      this.#inflate(read, start, length, 0, () => undefined);
      return this.#finishSymlink(checksum, header, prefixed);
    }
    return this.#storeContent(checksum, header, prefixed, size, (take) =>
      this.#inflate(read, start, length, size, take),
    );
  }

  /** A symbolic link. @throws CfsError Corrupt */
  storeSymlink(checksum: Checksum, header: FileHeader): StoredFile {
    return this.#finishSymlink(checksum, header, encodeArchiveHeader(header, 0));
  }

  /**
   * A regular file whose content is stored as it is.
   * @throws CfsError Corrupt when it is not what its checksum says, or has not `size` bytes.
   */
  storePlain(checksum: Checksum, header: FileHeader, size: number, read: ReadAt): StoredFile {
    const prefixed = encodeArchiveHeader(header, size);
    return this.#storeContent(checksum, header, prefixed, size, (take) => this.#copy(read, size, take));
  }

  #finishSymlink(checksum: Checksum, header: FileHeader, prefixed: Uint8Array): StoredFile {
    expectChecksum(checksum, new FileHasher(header).digest());
    return { data: prefixed, external: undefined, size: 0 };
  }

  /** @param produce puts piece after piece into the output buffer, and says how long each is. */
  #storeContent(
    checksum: Checksum,
    header: FileHeader,
    prefixed: Uint8Array,
    size: number,
    produce: (take: (length: number) => void) => void,
  ): StoredFile {
    const hasher = new FileHasher(header);
    const { bytes } = this.#output;
    if (size <= PIECE) {
      produce((length) => hasher.update(bytes.subarray(0, length)));
      expectChecksum(checksum, hasher.digest());
      const content = bytes.subarray(0, size);
      if (size <= inlineLimit(this.#store.algorithm)) {
        return { data: Buffer.concat([prefixed, content]), external: undefined, size };
      }
      const external = this.#output.digest(size);
      this.#beforeNaming?.(checksum, prefixed, external);
      this.#store.storeKnown(external, content);
      return { data: prefixed, external, size };
    }
    const file: NewObject = this.#store.begin();
    let external: ObjectId;
    try {
      const verity = new VerityHasher(this.#store.algorithm);
      produce((length) => {
        const piece = bytes.subarray(0, length);
        hasher.update(piece);
        pwriteAll(file.fd, piece, verity.size, "objects");
        verity.updateHashed(this.#output.hash(length), length);
      });
      expectChecksum(checksum, hasher.digest());
      external = verity.digest();
      this.#beforeNaming?.(checksum, prefixed, external);
    } catch (error) {
      this.#store.abandon(file);
      throw error;
    }
    this.#store.commit(file, external, size);
    return { data: prefixed, external, size };
  }

  #copy(read: ReadAt, size: number, take: (length: number) => void): void {
    const { bytes } = this.#output;
    let done = 0;
    do {
      const wanted = Math.min(PIECE, size - done);
      // One byte more than there should be, at the end.
      const length = read(bytes.subarray(0, done + wanted === size ? wanted + 1 : wanted), done);
      if (length !== wanted) throw sizeMismatch(size);
      take(length);
      done += length;
    } while (done < size);
  }

  /**
   * @param start where in the input buffer the deflate data begins, and `end` up to where the buffer is filled.
   * @param size of the content.
   */
  #inflate(read: ReadAt, start: number, end: number, size: number, take: (length: number) => void): void {
    const input = this.#input;
    const { bytes } = this.#output;
    let at = start;
    let filledTo = end;
    let position = end;
    let isLast = end < input.length;
    // Other programs than ostree leave out the deflate data of nothing.
    if (size === 0 && isLast && at === filledTo) return;
    this.#inflater.reset();
    let done = 0;
    let filled = 0;
    for (;;) {
      const remaining = size - done - filled;
      const room = Math.min(PIECE - filled, remaining);
      const outEnd = filled + room + (room === remaining ? 1 : 0);
      this.#inflater.step(input, at, filledTo, isLast, bytes, filled, outEnd);
      at += this.#inflater.consumed;
      filled += this.#inflater.produced;
      if (done + filled > size) throw sizeMismatch(size);
      const hasEnded = filled < outEnd && (at < filledTo || isLast);
      if (hasEnded || filled === PIECE) {
        take(filled);
        done += filled;
        filled = 0;
      }
      if (hasEnded) break;
      if (at === filledTo && !isLast) {
        filledTo = read(input, position);
        position += filledTo;
        at = 0;
        isLast = filledTo < input.length;
      }
    }
    if (done !== size) throw sizeMismatch(size);
  }
}

function sizeMismatch(size: number): CfsError {
  return new CfsError("Corrupt", `the content has not the ${size} bytes that it should have`);
}

function expectChecksum(expected: Checksum, found: Checksum): void {
  if (found === expected) return;
  throw new CfsError("Corrupt", `Unexpected file checksum ${found}, expected ${expected}`, {
    data: { expected, found },
  });
}
