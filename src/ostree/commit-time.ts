import { CfsError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { openStreamObject } from "../repository/streams.ts";
import { CONTENT_OSTREE_COMMIT } from "../splitstream/format.ts";
import type { Chunk } from "../splitstream/reader.ts";
import type { ObjectId } from "../verity/digest.ts";
import { CHECKSUM_SIZE } from "./checksum.ts";
import { BUCKETS_AT, CHECKSUMS_AT, DATA_ALIGNMENT, ENTRY_SIZE } from "./commit-table.ts";
import { parseCommit } from "./objects.ts";

/** Commits hold metadata that is meant for people; 16 MiB is far more than any has. */
const MAX_COMMIT_SIZE = 16 << 20;

/**
 * When a commit was made, in milliseconds since 1970, without reading its stream as a whole into memory.
 * @param id object of the commit's stream.
 * @throws CfsError Corrupt
 */
export function commitTime(repository: Repository, id: ObjectId): number {
  using stream = openStreamObject(repository, id);
  const { reader } = stream;
  reader.expectContentType(CONTENT_OSTREE_COMMIT);
  const table = new ForwardReader(reader.chunks());
  const head = table.read(0, CHECKSUMS_AT);
  const commit = head.readUInt32LE(0);
  const length = head.readUInt32LE(BUCKETS_AT + 255 * 4);
  const entry = table.read(CHECKSUMS_AT + CHECKSUM_SIZE * length + ENTRY_SIZE * commit, ENTRY_SIZE);
  const start = CHECKSUMS_AT + (CHECKSUM_SIZE + ENTRY_SIZE) * length + entry.readUInt32LE(0) * DATA_ALIGNMENT;
  const size = entry.readUInt32LE(4);
  if (size > MAX_COMMIT_SIZE) throw new CfsError("Corrupt", `a commit of ${size} bytes is too large`);
  return Number(BigInt.asIntN(64, parseCommit(table.read(start, size)).timestamp)) * 1000;
}

/** Ranges of a stream, in ascending order. */
class ForwardReader {
  readonly #chunks: Iterator<Chunk>;
  #piece: Uint8Array = new Uint8Array(0);
  /** Offset of the piece in the stream. */
  #at = 0;

  constructor(chunks: Iterable<Chunk>) {
    this.#chunks = chunks[Symbol.iterator]();
  }

  /** @throws CfsError Corrupt when the stream ends before */
  read(start: number, length: number): Buffer {
    const out = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const from = start + done - this.#at;
      if (from < 0) throw new CfsError("Corrupt", "commit stream: the commit lies before its own entry");
      if (from >= this.#piece.length) {
        this.#next();
        continue;
      }
      const part = this.#piece.subarray(from, from + length - done);
      out.set(part, done);
      done += part.length;
    }
    return out;
  }

  #next(): void {
    this.#at += this.#piece.length;
    const { value, done } = this.#chunks.next();
    if (done || !("inline" in value))
      throw new CfsError("Corrupt", "commit stream: it ends before the commit");
    this.#piece = value.inline;
  }
}
