import { fromText, toText } from "../../bytes.ts";
import { describeError } from "../../errors.ts";
import { publicUrl } from "../../http/file-url.ts";
import type { Progress } from "../../progress.ts";
import { listRefs, removeRef } from "../../repository/refs.ts";
import type { Repository } from "../../repository/repository.ts";
import { linkStream } from "../../repository/streams.ts";
import { type Checksum, checksumBytes, checksumOf, computeChecksum } from "../checksum.ts";
import { readInline, storeInline } from "../inline-stream.ts";

/** A summary as it was fetched, and how the server can tell whether it has changed since. */
export interface CachedSummary {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly checksum: Checksum;
  /** Header fields of the reply; empty when there were none. */
  readonly etag: string;
  readonly lastModified: string;
}

const CONTENT_TYPE = "osummary";
export const REF_PREFIX = "ostree-summary/";
/** Two lengths of 16 bits, little-endian, and a SHA-256. */
const HEAD_SIZE = 36;
const MAX_FIELD = 0xffff;
/** No summary that is fetched is larger. */
const MAX_SIZE = 256 * 1024 * 1024;
const MAX_NAME = 255;

/**
 * Keeps summaries in the repository, as streams whose names and content are those of composefs-rs. These names don't
 * tell all URLs apart: which one a stream is of is known by a ref, which also keeps it through garbage collections.
 */
export class SummaryCache {
  readonly #repository: Repository;
  readonly #progress: Progress;

  constructor(repository: Repository, progress: Progress) {
    this.#repository = repository;
    this.#progress = progress;
  }

  /**
   * What was stored for a URL; undefined when there is nothing, or nothing of use.
   * @param subset of `summary.idx`; undefined for the file `summary`.
   */
  load(url: URL, subset: string | undefined): CachedSummary | undefined {
    const stream = streamName(url, subset);
    const ref = refName(url, subset);
    if (!this.#refsTo(stream).includes(ref)) return undefined;
    try {
      return decode(readInline(this.#repository, stream, CONTENT_TYPE, MAX_SIZE));
    } catch {
      // A cache is only to save time: it is fetched again.
      return undefined;
    }
  }

  /** A cache that can't be written is no failure. */
  store(url: URL, subset: string | undefined, summary: CachedSummary): void {
    const stream = streamName(url, subset);
    const ref = refName(url, subset);
    if (stream.length > MAX_NAME) return;
    try {
      this.#repository.ensureWritable();
      for (const other of this.#refsTo(stream)) {
        if (other !== ref) removeRef(this.#repository, "streams", other);
      }
      const id = storeInline(this.#repository, CONTENT_TYPE, encode(summary));
      linkStream(this.#repository, stream, id, ref);
    } catch (error) {
      this.#progress.event({ type: "message", text: `the summary is not kept: ${describeError(error)}` });
    }
  }

  #refsTo(stream: string): string[] {
    return listRefs(this.#repository, "streams").flatMap(({ name, target }) => {
      const isOne =
        name.startsWith(REF_PREFIX) && target.slice(target.lastIndexOf("/") + 1) === fromText(stream);
      const text = isOne ? toText(name) : undefined;
      return text === undefined ? [] : [text];
    });
  }
}

function streamName(url: URL, subset: string | undefined): string {
  const place = `${url.hostname}${url.pathname.replace(/\/+$/, "")}`.replaceAll("/", "-");
  // A subset's name comes from the server; it must stay one component.
  return subset === undefined
    ? `ostree-summary-${place}`
    : `ostree-subsummary-${subset.replaceAll("/", "-")}-${place}`;
}

function refName(url: URL, subset: string | undefined): string {
  const name = encodeURIComponent(publicUrl(url) + (subset === undefined ? "" : `#${subset}`));
  return REF_PREFIX + (name.length <= MAX_NAME ? name : computeChecksum(Buffer.from(name)));
}

function encode({ bytes, checksum, etag, lastModified }: CachedSummary): Uint8Array {
  const head = Buffer.alloc(4);
  const fields = [etag, lastModified].map((text) => {
    const field = Buffer.from(text);
    return field.length <= MAX_FIELD ? field : Buffer.alloc(0);
  });
  for (const [i, { length }] of fields.entries()) head.writeUInt16LE(length, i * 2);
  return Buffer.concat([head, checksumBytes(checksum), ...fields, bytes]);
}

function decode(stored: Buffer<ArrayBuffer>): CachedSummary | undefined {
  if (stored.length < HEAD_SIZE) return undefined;
  const etagEnd = HEAD_SIZE + stored.readUInt16LE(0);
  const dataStart = etagEnd + stored.readUInt16LE(2);
  if (dataStart > stored.length) return undefined;
  const bytes = new Uint8Array(stored.subarray(dataStart));
  const checksum = checksumOf(stored.subarray(4, HEAD_SIZE));
  if (computeChecksum(bytes) !== checksum) return undefined;
  return {
    bytes,
    checksum,
    etag: stored.toString("utf8", HEAD_SIZE, etagEnd),
    lastModified: stored.toString("utf8", etagEnd, dataStart),
  };
}
