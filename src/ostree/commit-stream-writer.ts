import { CfsError } from "../errors.ts";
import { CONTENT_OSTREE_COMMIT, ObjectIdTable } from "../splitstream/format.ts";
import { SplitstreamWriter } from "../splitstream/writer.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { DigestTable } from "../verity/digest-table.ts";
import { CHECKSUM_SIZE, type Checksum } from "./checksum.ts";
import {
  BUCKETS_AT,
  CHECKSUMS_AT,
  CommitTable,
  DATA_ALIGNMENT,
  ENTRY_SIZE,
  IMAGE_REF,
  NO_EXTERNAL,
  type ObjectLookup,
  type StoredObject,
  SUBPATH_REF,
} from "./commit-table.ts";
import { alignUp } from "./gvariant-type.ts";

const NONE = -1;
const MAX_DATA_SIZE = 2 ** 31;

/** Collects the objects of a commit, in any order, and makes the commit's splitstream of them. */
export class CommitStreamWriter implements ObjectLookup {
  readonly #algorithm: Algorithm;
  readonly #checksums = new DigestTable(CHECKSUM_SIZE);
  /** The data of all objects, in the order of their arrival: a view of each would take more memory than it. */
  #data = Buffer.alloc(64 * 1024);
  /** Where the data of each object ends. */
  readonly #ends: number[] = [];
  /** Index into `#externals`, or NONE. */
  readonly #external: number[] = [];
  readonly #externals: DigestTable;
  readonly #key = Buffer.alloc(CHECKSUM_SIZE);

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm;
    this.#externals = new DigestTable(algorithm.size);
  }

  get length(): number {
    return this.#checksums.length;
  }

  has(checksum: Checksum): boolean {
    return this.#indexOf(checksum) >= 0;
  }

  find(checksum: Checksum): StoredObject | undefined {
    const index = this.#indexOf(checksum);
    if (index < 0) return undefined;
    const external = this.#external[index]!;
    return {
      data: this.#dataOf(index),
      external: external === NONE ? undefined : this.#externalId(external),
    };
  }

  /**
   * Adds an object that has been verified; one that is there already stays as it is.
   * @param data copied; see `CommitTable` for what it is.
   */
  add(checksum: Checksum, data: Uint8Array, external?: ObjectId): void {
    if (this.has(checksum)) return;
    this.#checksums.indexOfBytes(this.#key, 0);
    const at = this.#extend(data.length);
    this.#data.set(data, at);
    this.#external.push(external === undefined ? NONE : this.#externals.indexOf(external));
  }

  /**
   * Adds objects of another commit.
   * @param marks of those objects is not 0.
   */
  addMarked(table: CommitTable, marks: Uint8Array): void {
    const count = marks.reduce((sum, mark) => (mark === 0 ? sum : sum + 1), 0);
    this.#checksums.reserve(count);
    this.#externals.reserve(Math.min(count, table.objects.length));
    for (let i = 0; i < table.length; i++) {
      if (marks[i] === 0) continue;
      const { length } = this;
      if (this.#checksums.indexOfBytes(table.bytes, table.checksumStart(i)) < length) continue;
      const { start, end } = table.dataRange(i);
      const at = this.#extend(end - start);
      table.bytes.copy(this.#data, at, start, end);
      const external = table.externalIndex(i);
      this.#external.push(
        external === NO_EXTERNAL
          ? NONE
          : this.#externals.indexOfBytes(table.objects.bytes, external * this.#algorithm.size),
      );
    }
  }

  /**
   * To be called once; the objects are then in the table of the result, and here no more.
   * @param commit must have been added.
   * @throws CfsError Unsupported when the table gets too large.
   */
  finish(commit: Checksum): FinishedCommitStream {
    const writer = new SplitstreamWriter(this.#algorithm, CONTENT_OSTREE_COMMIT);
    const { table, objects } = this.#table(commit, writer);
    this.#data = Buffer.alloc(0);
    writer.inlineWhole(table);
    const { stream } = writer.finish();
    const body = new Uint8Array(stream.length);
    stream.drain((piece) => body.set(piece));
    return new FinishedCommitStream(new CommitTable(table, objects), writer, body);
  }

  #table(commit: Checksum, writer: SplitstreamWriter): { table: Buffer; objects: ObjectIdTable } {
    const commitIndex = this.#indexOf(commit);
    if (commitIndex < 0) throw new TypeError(`commit ${commit} was not added`);
    const count = this.length;
    const order = this.#sorted();
    const dataStart = CHECKSUMS_AT + (CHECKSUM_SIZE + ENTRY_SIZE) * count;
    let dataSize = 0;
    for (let i = 0; i < count; i++) dataSize += alignUp(this.#lengthOf(i), DATA_ALIGNMENT);
    if (dataSize > MAX_DATA_SIZE)
      throw new CfsError(
        "Unsupported",
        `the metadata of the commit has ${dataSize} bytes, which is too much`,
      );
    const table = Buffer.alloc(dataStart + dataSize);
    const words = new Uint32Array(table.buffer, table.byteOffset, dataStart / 4);
    const checksums = this.#checksums.bytes();
    const externals = this.#externals.bytes();
    writer.reserveObjects(this.#externals.length);
    let offset = 0;
    let entry = (CHECKSUMS_AT + CHECKSUM_SIZE * count) / 4;
    for (let position = 0; position < count; position++) {
      const index = order[position]!;
      if (index === commitIndex) words[0] = position;
      const from = index * CHECKSUM_SIZE;
      checksums.copy(table, CHECKSUMS_AT + position * CHECKSUM_SIZE, from, from + CHECKSUM_SIZE);
      words[BUCKETS_AT / 4 + checksums[from]!]!++;
      const length = this.#lengthOf(index);
      const external = this.#external[index]!;
      words[entry++] = offset / DATA_ALIGNMENT;
      words[entry++] = length;
      words[entry++] =
        external === NONE ? NO_EXTERNAL : writer.addObjectBytes(externals, external * this.#algorithm.size);
      const start = this.#ends[index]! - length;
      this.#data.copy(table, dataStart + offset, start, start + length);
      offset += alignUp(length, DATA_ALIGNMENT);
    }
    for (let bucket = 1; bucket < 256; bucket++)
      words[BUCKETS_AT / 4 + bucket]! += words[BUCKETS_AT / 4 + bucket - 1]!;
    const objects = new ObjectIdTable(writer.objectRefs(), this.#algorithm, "object references");
    return { table, objects };
  }

  /** Makes room for the data of the next object. @returns where it goes in `#data`. */
  #extend(length: number): number {
    const start = this.#ends.at(-1) ?? 0;
    const end = start + length;
    if (end > MAX_DATA_SIZE)
      throw new CfsError("Unsupported", `the metadata of the commit has ${end} bytes, which is too much`);
    if (end > this.#data.length) {
      const larger = Buffer.alloc(Math.max(end, this.#data.length * 2));
      larger.set(this.#data.subarray(0, start));
      this.#data = larger;
    }
    this.#ends.push(end);
    return start;
  }

  #lengthOf(index: number): number {
    return this.#ends[index]! - (this.#ends[index - 1] ?? 0);
  }

  /** A view that is valid as long as nothing is added. */
  #dataOf(index: number): Uint8Array {
    return this.#data.subarray(this.#ends[index - 1] ?? 0, this.#ends[index]);
  }

  /** Indices in the order of their checksums. */
  #sorted(): Uint32Array {
    const { length } = this;
    const bytes = this.#checksums.bytes();
    // Numbers are sorted much faster than a function can compare; their first four bytes nearly always decide.
    const keys = new BigUint64Array(length);
    const words = new Uint32Array(keys.buffer);
    for (let i = 0; i < length; i++) {
      words[2 * i] = i;
      words[2 * i + 1] = bytes.readUInt32BE(i * CHECKSUM_SIZE);
    }
    keys.sort();
    const order = Uint32Array.from({ length }, (_, i) => words[2 * i]!);
    const end = (i: number) => (i + 1) * CHECKSUM_SIZE;
    for (let from = 0, to = 0; from < length; from = to) {
      for (to = from + 1; to < length && words[2 * to + 1] === words[2 * from + 1]; ) to++;
      if (to - from === 1) continue;
      order
        .subarray(from, to)
        .sort((a, b) => bytes.compare(bytes, b * CHECKSUM_SIZE, end(b), a * CHECKSUM_SIZE, end(a)));
    }
    return order;
  }

  #indexOf(checksum: Checksum): number {
    this.#key.hexWrite(checksum);
    return this.#checksums.find(this.#key, 0);
  }

  #externalId(index: number): ObjectId {
    const { size } = this.#algorithm;
    return this.#externals.bytes().hexSlice(index * size, (index + 1) * size) as ObjectId;
  }
}

/** A commit's splitstream, which can be had with and without the reference to the image. */
export class FinishedCommitStream {
  /** What is in it. */
  readonly table: CommitTable;
  readonly #writer: SplitstreamWriter;
  readonly #body: Uint8Array;

  constructor(table: CommitTable, writer: SplitstreamWriter, body: Uint8Array) {
    this.table = table;
    this.#writer = writer;
    this.#body = body;
  }

  /** The file without the reference to an image; to be asked for before `withImage`. */
  withoutImage(): Uint8Array<ArrayBuffer> {
    return this.#file();
  }

  /** The file as it is kept. @param subpaths of a commit that is there in part. */
  withImage(image: ObjectId, subpaths: readonly string[] = []): Uint8Array<ArrayBuffer> {
    this.#writer.addNamedRef(IMAGE_REF, image);
    for (const path of subpaths) this.#writer.addNamedRef(SUBPATH_REF + path, image);
    return this.#file();
  }

  #file(): Uint8Array<ArrayBuffer> {
    const head = this.#writer.head();
    const bytes = new Uint8Array(head.length + this.#body.length);
    bytes.set(head);
    bytes.set(this.#body, head.length);
    return bytes;
  }
}
