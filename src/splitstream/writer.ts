import { ZstdCompressor } from "../compress/sync.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { DigestTable } from "../verity/digest-table.ts";
import { encodeHead, encodeNamedRefs } from "./format.ts";
import { MemorySpool, type Spool } from "./spool.ts";

/** A finished splitstream: `head` and then everything in `stream`. */
export interface FinishedSplitstream {
  readonly head: Uint8Array;
  readonly stream: Spool;
}

/** Builds a splitstream. The bytes depend only on the sequence of inline bytes and references. */
export class SplitstreamWriter {
  readonly #algorithm: Algorithm;
  readonly #contentType: string;
  readonly #compressor = new ZstdCompressor();
  /** Inline data whose length is not known yet: it ends at the next external reference. */
  readonly #pending: Spool;
  readonly #stream: Spool;
  readonly #toStream: (chunk: Uint8Array) => void;
  readonly #objects: DigestTable;
  readonly #streams: DigestTable;
  readonly #names = new Map<string, number>();
  readonly #record = Buffer.alloc(8);
  #streamSize = 0n;
  #streamLength = 0;
  #inlineBytes = 0;

  /** @param newSpool makes the two queues for unfinished and compressed data. */
  constructor(algorithm: Algorithm, contentType: string, newSpool: () => Spool = () => new MemorySpool()) {
    this.#algorithm = algorithm;
    this.#contentType = contentType;
    this.#objects = new DigestTable(algorithm.size);
    this.#streams = new DigestTable(algorithm.size);
    this.#pending = newSpool();
    this.#stream = newSpool();
    this.#toStream = (chunk) => this.#stream.append(chunk);
  }

  /** Inline bytes so far. */
  get inlineBytes(): number {
    return this.#inlineBytes;
  }

  /** Names another stream; the same name again replaces the reference. */
  addNamedRef(name: string, id: ObjectId): void {
    this.#names.set(name, this.#streams.indexOf(id));
  }

  /** Refers to an object whose bytes are no part of the stream. @returns its index in object_refs. */
  addObject(id: ObjectId): number {
    return this.#objects.indexOf(id);
  }

  /** Makes room for references to so many more objects. */
  reserveObjects(count: number): void {
    this.#objects.reserve(count);
  }

  /** As `addObject`, for the object whose digest begins at `offset` of `bytes`. */
  addObjectBytes(bytes: Buffer<ArrayBufferLike>, offset: number): number {
    return this.#objects.indexOfBytes(bytes, offset);
  }

  /** The digests of all objects that are referred to, one after the other. */
  objectRefs(): Buffer<ArrayBuffer> {
    return this.#objects.bytes();
  }

  inline(bytes: Uint8Array<ArrayBufferLike>): void {
    if (bytes.length === 0) return;
    this.#pending.append(bytes);
    this.#inlineBytes += bytes.length;
  }

  /** As `inline`, for all bytes up to the next reference or the end: they are not copied. */
  inlineWhole(bytes: Uint8Array<ArrayBufferLike>): void {
    this.#flushInline();
    if (bytes.length === 0) return;
    this.#inlineBytes += bytes.length;
    this.#writeRecord(-bytes.length);
    this.#compressor.write(bytes, this.#toStream);
    this.#streamSize += BigInt(bytes.length);
  }

  /**
   * The next `size` bytes of the stream are those of an object.
   * @returns its index in object_refs.
   */
  external(id: ObjectId, size: number): number {
    return this.#external(this.#objects.indexOf(id), size);
  }

  /** As `external`, for the object whose digest begins at `offset` of `bytes`. */
  externalBytes(bytes: Buffer<ArrayBufferLike>, offset: number, size: number): number {
    return this.#external(this.#objects.indexOfBytes(bytes, offset), size);
  }

  #external(index: number, size: number): number {
    this.#flushInline();
    this.#writeRecord(index);
    this.#streamSize += BigInt(size);
    return index;
  }

  finish(): FinishedSplitstream {
    this.#flushInline();
    this.#compressor.end(this.#toStream);
    this.#streamLength = this.#stream.length;
    return { head: this.head(), stream: this.#stream };
  }

  /** What stands before the finished stream; named references that came later are in it too. */
  head(): Uint8Array<ArrayBuffer> {
    const namedRefs = new MemorySpool();
    const names = new ZstdCompressor();
    names.write(encodeNamedRefs(this.#names), (chunk) => namedRefs.append(chunk));
    names.end((chunk) => namedRefs.append(chunk));
    let namedRefBytes: Uint8Array = new Uint8Array(0);
    namedRefs.drain((bytes) => {
      namedRefBytes = bytes;
    });
    return encodeHead({
      algorithm: this.#algorithm,
      contentType: this.#contentType,
      streamSize: this.#streamSize,
      streamRefs: this.#streams.bytes(),
      objectRefs: this.#objects.bytes(),
      namedRefs: namedRefBytes,
      streamLength: this.#streamLength,
    });
  }

  #flushInline(): void {
    const length = this.#pending.length;
    if (length === 0) return;
    this.#writeRecord(-length);
    this.#pending.drain((piece) => this.#compressor.write(piece, this.#toStream));
    this.#streamSize += BigInt(length);
  }

  #writeRecord(value: number): void {
    // 48 bits and a sign extension: no BigInt for a record.
    this.#record.writeIntLE(value, 0, 6);
    this.#record.fill(value < 0 ? 0xff : 0, 6);
    this.#compressor.write(this.#record, this.#toStream);
  }
}

/** A small finished splitstream in one piece. */
export function toBytes({ head, stream }: FinishedSplitstream): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(head.length + stream.length);
  bytes.set(head);
  let at = head.length;
  stream.drain((piece) => {
    bytes.set(piece, at);
    at += piece.length;
  });
  return bytes;
}
