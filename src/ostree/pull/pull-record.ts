import { PartialFile } from "../../repository/partial-files.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Fd } from "../../sys/fd.ts";
import { append, ftruncate, O_APPEND, O_WRONLY, open } from "../../sys/file.ts";
import type { Checksum } from "../checksum.ts";
import type { ObjectLookup, StoredObject } from "../commit-table.ts";
import { parseArchiveHeader } from "../file-header.ts";
import { encodeEntry, type RecordContent, readEntries } from "./record-entries.ts";

const MAX_RECORD_SIZE = 1024 * 1024 * 1024;
const FLUSH_SIZE = 8 * 1024;

/**
 * Remembers, for as long as a pull is not complete, what it has brought into the repository: an ostree checksum does
 * not tell where the content is. What an interrupted pull has stored is found again by the next one of the commit.
 */
export class PullRecord implements ObjectLookup, Disposable {
  readonly #repository: Repository;
  readonly #file: PartialFile;
  readonly #end: Fd;
  readonly #known: Map<Checksum, StoredObject>;
  #pending: Uint8Array[] = [];
  #pendingSize = 0;
  #isDone = false;

  private constructor(repository: Repository, file: PartialFile, content: RecordContent) {
    this.#repository = repository;
    this.#file = file;
    this.#known = content.objects;
    this.#end = open(`/proc/self/fd/${file.file.fd}`, O_WRONLY | O_APPEND);
  }

  static open(repository: Repository, commit: Checksum): PullRecord {
    const file = PartialFile.open(repository, `ostree-${commit}`, MAX_RECORD_SIZE);
    try {
      const content = readEntries(file.file, file.length, repository.algorithm.size);
      if (content.end < file.length) ftruncate(file.file, content.end);
      return new PullRecord(repository, file, content);
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  /** For `recordFile`, in any thread. */
  get descriptor(): number {
    return this.#end.fd;
  }

  /** What an earlier pull has stored, as far as its content still is there. */
  find(checksum: Checksum): StoredObject | undefined {
    const found = this.#known.get(checksum);
    if (found?.external === undefined) return found;
    const { size } = parseArchiveHeader(found.data);
    return this.#repository.objects.isStored(found.external, size) ? found : undefined;
  }

  /** Remembers an object that has been verified, and whose content is nowhere else. */
  add(checksum: Checksum, data: Uint8Array): void {
    if (this.#known.has(checksum)) return;
    const entry = encodeEntry(checksum, data, undefined);
    if (entry === undefined) return;
    this.#pending.push(entry);
    this.#pendingSize += entry.length;
    if (this.#pendingSize >= FLUSH_SIZE) this.#flush();
  }

  /** The pull is complete. */
  done(): void {
    this.#isDone = true;
  }

  [Symbol.dispose](): void {
    try {
      if (this.#isDone) this.#file.discard();
      else this.#flush();
    } finally {
      this.#end.close();
      if (!this.#isDone) this.#file[Symbol.dispose]();
    }
  }

  #flush(): void {
    if (this.#pending.length > 0) append(this.#end.fd, Buffer.concat(this.#pending, this.#pendingSize));
    this.#pending = [];
    this.#pendingSize = 0;
  }
}
