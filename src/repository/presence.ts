import { openDirectory, visitNames } from "../sys/dir.ts";
import { ENOENT, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import type { ObjectId } from "../verity/digest.ts";
import { DigestTable } from "../verity/digest-table.ts";
import { readHex } from "../verity/hex.ts";
import type { Repository } from "./repository.ts";

/** With fewer objects than this they are asked for one by one. */
const MIN_LISTED = 2048;
/** A directory that holds this many times the names wanted is not read to its end. */
const MAX_LISTED_RATIO = 16;

/**
 * Objects of which all have to be in the repository. Reading a directory of `objects/` takes as long as asking for six
 * of its files, so the directories are read; and names are compared as bytes, since making strings of them would
 * take most of the time.
 */
export class ObjectChecklist {
  readonly #repository: Repository;
  readonly #wanted: DigestTable;
  readonly #size: number;

  constructor(repository: Repository) {
    this.#repository = repository;
    this.#size = repository.algorithm.size;
    this.#wanted = new DigestTable(this.#size);
  }

  /** @param digests one after the other. */
  addAll(digests: Buffer<ArrayBufferLike>): void {
    this.#wanted.addAll(digests);
  }

  /** Adds the digest that begins at `offset` of `bytes`. */
  add(bytes: Buffer<ArrayBufferLike>, offset: number): void {
    this.#wanted.indexOfBytes(bytes, offset);
  }

  /** Whether every one of the objects is there. */
  areAllPresent(): boolean {
    const found = new Uint8Array(this.#wanted.length);
    if (found.length >= MIN_LISTED) this.#readDirectories(found);
    const digests = this.#wanted.bytes();
    for (let i = 0; i < found.length; i++) {
      if (found[i] === 1) continue;
      const id = digests.hexSlice(i * this.#size, (i + 1) * this.#size) as ObjectId;
      if (!this.#repository.objects.has(id)) return false;
    }
    return true;
  }

  /** Marks what lies in the directories; what is not marked may still be there. */
  #readDirectories(found: Uint8Array): void {
    const digests = this.#wanted.bytes();
    const wanted = new Uint32Array(256);
    for (let at = 0; at < digests.length; at += this.#size) wanted[digests[at]!]!++;
    const name = Buffer.alloc(this.#size);
    for (let prefix = 0; prefix < 256; prefix++) {
      if (wanted[prefix] === 0) continue;
      using directory = this.#open(prefix);
      if (directory === undefined) continue;
      name[0] = prefix;
      let left = wanted[prefix]! * MAX_LISTED_RATIO;
      visitNames(directory, (bytes, start) => {
        if (parseObjectName(bytes, start, name)) {
          const index = this.#wanted.find(name, 0);
          if (index >= 0) found[index] = 1;
        }
        return --left > 0;
      });
    }
  }

  #open(prefix: number): Fd | undefined {
    try {
      return openDirectory(this.#repository.dir.fd, `objects/${prefix.toString(16).padStart(2, "0")}`);
    } catch (error) {
      if (isErrno(error, ENOENT)) return undefined;
      throw error;
    }
  }
}

/**
 * Decodes the name of a file in a directory of `objects/`, which begins at `start` and ends with NUL, into `out` from its
 * second byte on; false when it is no object's name.
 */
export function parseObjectName(bytes: Uint8Array, start: number, out: Uint8Array): boolean {
  return readHex(bytes, start, out, 1, out.length) && bytes[start + 2 * (out.length - 1)] === 0;
}
