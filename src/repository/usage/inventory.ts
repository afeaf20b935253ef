import { openDirectory, visitNames } from "../../sys/dir.ts";
import { ENOENT, isErrno } from "../../sys/errno.ts";
import type { Fd } from "../../sys/fd.ts";
import { emptyStatus, isRegular, tryFstatatBytes } from "../../sys/stat.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { DigestTable } from "../../verity/digest-table.ts";
import { parseObjectName } from "../presence.ts";
import type { Repository } from "../repository.ts";

/** Bytes of a unit in which file systems count what they allocate. */
const BLOCK = 512;

/**
 * All objects of a repository with their sizes, each known by a number from 0. Takes about 100 bytes an object with
 * SHA-512, 60 with SHA-256.
 */
export class ObjectInventory {
  readonly #digests: DigestTable;
  readonly #size: number;
  /** By object, in bytes. */
  readonly #sizes: Float64Array;
  /** What all of them take on disk, in bytes. */
  readonly allocated: number;

  /** Reads the directories below `objects/`. */
  constructor(repository: Repository) {
    const { size } = repository.algorithm;
    this.#size = size;
    const expected = countNames(repository);
    const digests = new DigestTable(size, expected);
    const sizes = new Float64Array(expected);
    const digest = Buffer.alloc(size);
    const name = Buffer.alloc(2 * (size - 1) + 1);
    const status = emptyStatus();
    let allocated = 0;
    for (const { prefix, directory } of objectDirectories(repository)) {
      digest[0] = prefix;
      visitNames(directory, (bytes, start) => {
        if (!parseObjectName(bytes, start, digest)) return true;
        // What was added since it was counted is left out.
        if (digests.length === expected) return false;
        // With its NUL. A million views for `set` would take more memory than what is kept.
        for (let i = 0; i < name.length; i++) name[i] = bytes[start + i]!;
        if (tryFstatatBytes(directory.fd, name, status) < 0 || !isRegular(status)) return true;
        sizes[digests.indexOfBytes(digest, 0)] = status.size;
        allocated += status.blocks * BLOCK;
        return true;
      });
    }
    this.#digests = digests;
    this.#sizes = sizes;
    this.allocated = allocated;
  }

  get count(): number {
    return this.#digests.length;
  }

  /** Number of the object whose digest begins at `offset`, or -1. */
  find(bytes: Buffer<ArrayBufferLike>, offset: number): number {
    return this.#digests.find(bytes, offset);
  }

  /** Number of an object, or -1. */
  findId(id: ObjectId): number {
    return this.#digests.find(Buffer.from(id, "hex"), 0);
  }

  sizeOf(object: number): number {
    return this.#sizes[object]!;
  }

  idOf(object: number): ObjectId {
    return this.#digests.bytes().hexSlice(object * this.#size, (object + 1) * this.#size) as ObjectId;
  }
}

function countNames(repository: Repository): number {
  let count = 0;
  for (const { directory } of objectDirectories(repository)) {
    visitNames(directory, () => {
      count++;
      return true;
    });
    // `.` and `..`
    count -= 2;
  }
  return count;
}

/** Each is closed when the next one is asked for. */
function* objectDirectories(repository: Repository): Generator<{ prefix: number; directory: Fd }> {
  for (let prefix = 0; prefix < 256; prefix++) {
    let directory: Fd;
    try {
      directory = openDirectory(repository.dir.fd, `objects/${prefix.toString(16).padStart(2, "0")}`);
    } catch (error) {
      if (isErrno(error, ENOENT)) continue;
      throw error;
    }
    using opened = directory;
    yield { prefix, directory: opened };
  }
}
