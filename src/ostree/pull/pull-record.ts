import { PartialFile } from "../../repository/partial-files.ts";
import type { Repository } from "../../repository/repository.ts";
import { ftruncate, pread, pwriteAll } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { CHECKSUM_SIZE, type Checksum, checksumBytes, checksumOf, computeChecksum } from "../checksum.ts";
import type { ObjectLookup, StoredObject } from "../commit-table.ts";

/*
 * The record of a pull: one entry after the other, integers little-endian.
 *
 *   u32   bytes of what follows but the last field
 *   32    checksum of the ostree object
 *   u8    1 when an object of the repository has the content
 *   …     its digest, if so
 *   …     the data, as in a commit's stream
 *   8     the first bytes of the SHA-256 of the fields from the checksum on
 */
const LENGTH_SIZE = 4;
const SEAL_SIZE = 8;
const MAX_RECORD_SIZE = 1024 * 1024 * 1024;
/** Larger objects are fetched again. */
const MAX_DATA = 1024 * 1024;
const FLUSH_SIZE = 64 * 1024;
const READ_SIZE = 4 * 1024 * 1024;

/**
 * Remembers, for as long as a pull is not complete, what it has brought into the repository: an ostree checksum does
 * not tell where the content is. What an interrupted pull has stored is found again by the next one of the commit.
 */
export class PullRecord implements ObjectLookup, Disposable {
  readonly #repository: Repository;
  readonly #file: PartialFile;
  readonly #known: Map<Checksum, StoredObject>;
  #pending: Uint8Array[] = [];
  #pendingSize = 0;
  #end: number;
  #isDone = false;

  private constructor(repository: Repository, file: PartialFile, content: RecordContent) {
    this.#repository = repository;
    this.#file = file;
    this.#known = content.objects;
    this.#end = content.end;
  }

  static open(repository: Repository, commit: Checksum): PullRecord {
    const file = PartialFile.open(repository, `ostree-${commit}`, MAX_RECORD_SIZE);
    try {
      const content = readRecord(file, repository.algorithm.size);
      if (content.end < file.length) ftruncate(file.file, content.end);
      return new PullRecord(repository, file, content);
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  /** What an earlier pull has stored, as far as its content still is there. */
  find(checksum: Checksum): StoredObject | undefined {
    const found = this.#known.get(checksum);
    if (found?.external !== undefined && !this.#repository.objects.has(found.external)) return undefined;
    return found;
  }

  /** Remembers an object that has been verified and stored. */
  add(checksum: Checksum, data: Uint8Array, external?: ObjectId): void {
    if (data.length > MAX_DATA || this.#known.has(checksum)) return;
    const id = external === undefined ? NO_ID : Buffer.from(external, "hex");
    const body = Buffer.concat([
      checksumBytes(checksum),
      Buffer.of(external === undefined ? 0 : 1),
      id,
      data,
    ]);
    const length = Buffer.alloc(LENGTH_SIZE);
    length.writeUInt32LE(body.length);
    this.#pending.push(length, body, sealOf(body));
    this.#pendingSize += LENGTH_SIZE + body.length + SEAL_SIZE;
    if (this.#pendingSize >= FLUSH_SIZE) this.#flush();
  }

  /** The pull is complete. */
  done(): void {
    this.#isDone = true;
  }

  [Symbol.dispose](): void {
    if (this.#isDone) {
      this.#file.discard();
      return;
    }
    try {
      this.#flush();
    } finally {
      this.#file[Symbol.dispose]();
    }
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#pending, this.#pendingSize);
    this.#pending = [];
    this.#pendingSize = 0;
    if (this.#end + bytes.length > MAX_RECORD_SIZE) return;
    pwriteAll(this.#file.file.fd, bytes, this.#end, this.#file.file.path);
    this.#end += bytes.length;
  }
}

const NO_ID = new Uint8Array(0);

interface RecordContent {
  readonly objects: Map<Checksum, StoredObject>;
  /** Behind the last entry that is whole. */
  readonly end: number;
}

function readRecord({ file, length }: PartialFile, idSize: number): RecordContent {
  const objects = new Map<Checksum, StoredObject>();
  let end = 0;
  let buffer: Buffer = Buffer.alloc(0);
  for (let at = 0; at < length; ) {
    const more = Buffer.alloc(Math.min(READ_SIZE, length - at));
    const count = pread(file.fd, more, at, file.path);
    if (count === 0) break;
    at += count;
    buffer = Buffer.concat([buffer, more.subarray(0, count)]);
    let used = 0;
    for (;;) {
      const size = readEntry(buffer, used, idSize, objects);
      if (size === 0) break;
      used += size;
    }
    end += used;
    buffer = buffer.subarray(used);
    if (buffer.length > LENGTH_SIZE + CHECKSUM_SIZE + 1 + idSize + MAX_DATA + SEAL_SIZE) break;
  }
  return { objects, end };
}

/** @returns its size; 0 when it is not whole. */
function readEntry(buffer: Buffer, at: number, idSize: number, into: Map<Checksum, StoredObject>): number {
  if (buffer.length - at < LENGTH_SIZE) return 0;
  const length = buffer.readUInt32LE(at);
  const start = at + LENGTH_SIZE;
  const end = start + length;
  if (length <= CHECKSUM_SIZE || end + SEAL_SIZE > buffer.length) return 0;
  const body = buffer.subarray(start, end);
  if (!sealOf(body).equals(buffer.subarray(end, end + SEAL_SIZE))) return 0;
  const dataAt = CHECKSUM_SIZE + 1 + (body[CHECKSUM_SIZE] === 1 ? idSize : 0);
  if (dataAt > length) return 0;
  const hasExternal = dataAt > CHECKSUM_SIZE + 1;
  const external = hasExternal ? (body.hexSlice(CHECKSUM_SIZE + 1, dataAt) as ObjectId) : undefined;
  // A copy: else each entry would keep all that was read with it.
  const data = new Uint8Array(body.subarray(dataAt));
  into.set(checksumOf(body.subarray(0, CHECKSUM_SIZE)), { data, external });
  return LENGTH_SIZE + length + SEAL_SIZE;
}

function sealOf(body: Uint8Array): Buffer {
  return Buffer.from(computeChecksum(body), "hex").subarray(0, SEAL_SIZE);
}
