import { CfsError } from "../../errors.ts";
import { sharedCopy } from "../../parallel/shared-copy.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import { ObjectIdTable } from "../../splitstream/format.ts";
import type { Fd } from "../../sys/fd.ts";
import { fstat } from "../../sys/stat.ts";
import { type Checksum, checksumOf } from "../checksum.ts";
import { CommitTable } from "../commit-table.ts";
import { archiveHeaderLength } from "../file-header.ts";
import { type ByteRange, fileRange, memoryRange } from "./byte-range.ts";

/** The table of a commit in memory that all threads share. */
export interface BaseHandle {
  readonly table: Uint8Array<SharedArrayBuffer>;
  readonly objects: Uint8Array<SharedArrayBuffer>;
}

export function shareTable(table: CommitTable): BaseHandle {
  const shared = (bytes: Uint8Array) => new Uint8Array(sharedCopy(bytes));
  return { table: shared(table.bytes), objects: shared(table.objects.bytes) };
}

/** The content of files of the commit that a delta leads from; one is open at a time. */
export class BaseFiles implements Disposable {
  readonly #store: ObjectStore;
  readonly #table: CommitTable | undefined;
  #open: Fd | undefined;

  constructor(store: ObjectStore, base: BaseHandle | undefined) {
    this.#store = store;
    if (base === undefined) return;
    const ids = new ObjectIdTable(base.objects, store.algorithm, "object references");
    this.#table = new CommitTable(base.table, ids);
  }

  /** @param id a checksum of 32 bytes. @returns valid until the next call. @throws CfsError Corrupt, NotFound */
  open(id: Uint8Array): ByteRange {
    this.close();
    const checksum: Checksum = checksumOf(id);
    if (this.#table === undefined)
      throw new CfsError("Corrupt", "SET_READ_SOURCE references ID but no base commit available");
    const found = this.#table.find(checksum);
    if (found === undefined)
      throw new CfsError("Corrupt", `SET_READ_SOURCE object ID ${checksum} not found in base commit`);
    if (found.external === undefined) {
      return memoryRange(found.data.subarray(archiveHeaderLength(found.data)));
    }
    this.#open = this.#store.open(found.external);
    return fileRange(this.#open, fstat(this.#open).size);
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
