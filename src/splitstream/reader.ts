import { type Decompressor, decompressor } from "../compress/sync.ts";
import { CfsError, withContext } from "../errors.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import {
  checkTable,
  HEADER_SIZE,
  INFO_SIZE,
  type Info,
  ObjectIdTable,
  parseHeader,
  parseInfo,
  parseNamedRefs,
  type Range,
} from "./format.ts";

/** Where the bytes of a splitstream come from. `read` returns exactly `length` bytes or throws. */
export interface RandomAccess {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

/** A splitstream held in memory. */
export function memorySource(bytes: Uint8Array): RandomAccess {
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
}

/** A piece of the rebuilt stream; inline bytes are valid until the next piece is asked for. */
export type Chunk = { readonly inline: Uint8Array } | { readonly object: ObjectId; readonly index: number };

const OBJECT_REFS = "object references";
/** A multiple of the size of every digest. */
const TABLE_STEP = 64 * 1024;
const INPUT_STEP = 128 * 1024;
const WINDOW = 256 * 1024;
/** A manifest names its config and layers, an image its variants: 16 MiB is far more than any use. */
const MAX_NAMED_REFS = 16 * 1024 * 1024;

/**
 * Reads a splitstream in the current or the early header form. The constructor reads the header and the tables and
 * checks their structure; `chunks` decompresses as it goes.
 * @throws CfsError Corrupt
 */
export class SplitstreamReader {
  readonly #source: RandomAccess;
  readonly #info: Info;
  readonly #algorithm: Algorithm;
  readonly streamRefs: ObjectIdTable;
  #objectRefs: ObjectIdTable | undefined;
  readonly namedRefs: ReadonlyMap<string, ObjectId>;

  constructor(source: RandomAccess, algorithm: Algorithm) {
    this.#source = source;
    this.#algorithm = algorithm;
    const infoRange = parseHeader(source.read(0, Math.min(HEADER_SIZE, source.size)), algorithm, source.size);
    this.#info = parseInfo(source.read(infoRange.start, INFO_SIZE), source.size);
    this.streamRefs = this.#table(this.#info.streamRefs, algorithm, "splitstream references");
    checkTable(this.#info.objectRefs, algorithm, OBJECT_REFS);
    this.namedRefs = parseNamedRefs(this.#inflateNamedRefs(), this.streamRefs);
  }

  /** Read when it is first asked for, and kept. */
  get objectRefs(): ObjectIdTable {
    this.#objectRefs ??= this.#table(this.#info.objectRefs, this.#algorithm, OBJECT_REFS);
    return this.#objectRefs;
  }

  /** How many objects the stream refers to. */
  get objectCount(): number {
    const { start, end } = this.#info.objectRefs;
    return (end - start) / this.#algorithm.size;
  }

  /**
   * Shows the digests of the objects without holding all of them in memory.
   * @param visit gets bytes, valid until it returns, and where in them a digest begins.
   */
  visitObjectRefs(visit: (bytes: Buffer, offset: number) => void): void {
    const { size } = this.#algorithm;
    const { start, end } = this.#info.objectRefs;
    for (let at = start; at < end; at += TABLE_STEP) {
      const piece = this.#source.read(at, Math.min(TABLE_STEP, end - at));
      const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      for (let offset = 0; offset < bytes.length; offset += size) visit(bytes, offset);
    }
  }

  /** Eight characters that say what the stream holds. */
  get contentType(): string {
    return this.#info.contentType;
  }

  /** Size of the rebuilt stream as recorded by the writer, in bytes. */
  get streamSize(): bigint {
    return this.#info.streamSize;
  }

  /** @throws CfsError Corrupt when the stream holds something else. */
  expectContentType(contentType: string): void {
    if (this.contentType !== contentType) throw new CfsError("Corrupt", "Invalid splitstream content type");
  }

  /** The pieces of the stream in order. Inline data comes in pieces of at most 256 KiB. */
  *chunks(): Generator<Chunk> {
    if (this.#info.stream.end > this.#source.size) {
      throw new CfsError("Corrupt", "Incomplete read from splitstream file");
    }
    const input = new SectionInflater(this.#source, this.#info.stream);
    try {
      for (;;) {
        const head = input.take(8, 8);
        if (head.length === 0) return;
        if (head.length < 8)
          throw new CfsError("Corrupt", "unexpected end of the splitstream inside a record");
        const value = Buffer.from(head.buffer, head.byteOffset, 8).readBigInt64LE(0);
        if (value >= 0n) {
          if (value >= BigInt(this.objectRefs.length)) {
            throw new CfsError("Corrupt", "Splitstream external reference is out of range");
          }
          const index = Number(value);
          yield { object: this.objectRefs.at(index), index };
          continue;
        }
        for (let left = -value; left > 0n; ) {
          const piece = input.take(1, left > BigInt(WINDOW) ? WINDOW : Number(left));
          if (piece.length === 0) throw new CfsError("Corrupt", "the splitstream ends inside inline data");
          left -= BigInt(piece.length);
          yield { inline: piece };
        }
      }
    } finally {
      input.close();
    }
  }

  #table({ start, end }: Range, algorithm: Algorithm, what: string): ObjectIdTable {
    return new ObjectIdTable(this.#source.read(start, end - start), algorithm, what);
  }

  #inflateNamedRefs(): Uint8Array {
    const input = new SectionInflater(this.#source, this.#info.namedRefs);
    const parts: Uint8Array[] = [];
    let total = 0;
    try {
      for (;;) {
        const piece = input.take(1, WINDOW);
        if (piece.length === 0) return Buffer.concat(parts);
        total += piece.length;
        if (total > MAX_NAMED_REFS) throw new CfsError("Corrupt", "the section is unreasonably large");
        parts.push(piece.slice());
      }
    } catch (error) {
      throw withContext("Error reading splitstream mappings: Reading named references section", error);
    } finally {
      input.close();
    }
  }
}

/** Decompresses a section of the file into a window of fixed size. */
class SectionInflater {
  readonly #source: RandomAccess;
  readonly #decoder: Decompressor = decompressor("zstd");
  readonly #window = new Uint8Array(WINDOW);
  #start = 0;
  #end = 0;
  #input: Uint8Array = new Uint8Array(0);
  #inputAt = 0;
  #offset: number;
  readonly #sectionEnd: number;
  #finished = false;

  constructor(source: RandomAccess, range: Range) {
    this.#source = source;
    this.#offset = range.start;
    this.#sectionEnd = range.end;
  }

  /** Between `min` and `max` of the next bytes; fewer than `min` only at the end. Valid until the next call. */
  take(min: number, max: number): Uint8Array {
    if (this.#end - this.#start < min) this.#fill(min);
    const piece = this.#window.subarray(this.#start, Math.min(this.#end, this.#start + max));
    this.#start += piece.length;
    return piece;
  }

  #fill(min: number): void {
    this.#window.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    while (this.#end < min && !this.#finished) {
      if (this.#inputAt === this.#input.length && this.#offset < this.#sectionEnd) {
        const length = Math.min(INPUT_STEP, this.#sectionEnd - this.#offset);
        this.#input = this.#source.read(this.#offset, length);
        this.#inputAt = 0;
        this.#offset += length;
      }
      this.#decoder.step(this.#input, this.#inputAt, this.#input.length, this.#window, this.#end, WINDOW);
      this.#inputAt += this.#decoder.consumed;
      this.#end += this.#decoder.produced;
      const inputUsedUp = this.#inputAt === this.#input.length && this.#offset === this.#sectionEnd;
      if (inputUsedUp && this.#decoder.produced === 0) {
        this.#finished = true;
        this.#decoder.finish();
      }
    }
  }

  close(): void {
    if (!this.#finished) this.#decoder.close();
  }
}
