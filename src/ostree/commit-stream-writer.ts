import { CfsError } from "../errors.ts";
import { DigestTable } from "../splitstream/digest-table.ts";
import { CONTENT_OSTREE_COMMIT, ObjectIdTable } from "../splitstream/format.ts";
import { SplitstreamWriter } from "../splitstream/writer.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
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
    this.#append(data);
    this.#external.push(external === undefined ? NONE : this.#externals.indexOf(external));
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
    const checksums = this.#checksums.bytes();
    const externals = this.#externals.bytes();
    const objects = new DigestTable(this.#algorithm.size);
    let offset = 0;
    for (let position = 0; position < count; position++) {
      const index = order[position]!;
      if (index === commitIndex) table.writeUInt32LE(position, 0);
      checksums.copy(
        table,
        CHECKSUMS_AT + position * CHECKSUM_SIZE,
        index * CHECKSUM_SIZE,
        (index + 1) * CHECKSUM_SIZE,
      );
      const bucket = BUCKETS_AT + checksums[index * CHECKSUM_SIZE]! * 4;
      table.writeUInt32LE(table.readUInt32LE(bucket) + 1, bucket);
      const data = this.#dataOf(index);
      const external = this.#external[index]!;
      const entry = CHECKSUMS_AT + CHECKSUM_SIZE * count + position * ENTRY_SIZE;
      table.writeUInt32LE(offset / DATA_ALIGNMENT, entry);
      table.writeUInt32LE(data.length, entry + 4);
      const reference =
        external === NONE ? NO_EXTERNAL : objects.indexOfBytes(externals, external * this.#algorithm.size);
      table.writeUInt32LE(reference, entry + 8);
      table.set(data, dataStart + offset);
      offset += alignUp(data.length, DATA_ALIGNMENT);
    }
    for (let bucket = 1; bucket < 256; bucket++) {
      const at = BUCKETS_AT + bucket * 4;
      table.writeUInt32LE(table.readUInt32LE(at) + table.readUInt32LE(at - 4), at);
    }
    const ids = new ObjectIdTable(objects.bytes(), this.#algorithm, "object references");
    for (const id of ids) writer.addObject(id);
    return { table, objects: ids };
  }

  #append(data: Uint8Array): void {
    const start = this.#ends.at(-1) ?? 0;
    const end = start + data.length;
    if (end > MAX_DATA_SIZE)
      throw new CfsError("Unsupported", `the metadata of the commit has ${end} bytes, which is too much`);
    if (end > this.#data.length) {
      const larger = Buffer.alloc(Math.max(end, this.#data.length * 2));
      larger.set(this.#data.subarray(0, start));
      this.#data = larger;
    }
    this.#data.set(data, start);
    this.#ends.push(end);
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
    const bytes = this.#checksums.bytes();
    const order = Uint32Array.from({ length: this.length }, (_, i) => i);
    // Six bytes are an exact number, and nearly always decide.
    const keys = Float64Array.from(order, (i) => bytes.readUIntBE(i * CHECKSUM_SIZE, 6));
    const end = (i: number) => (i + 1) * CHECKSUM_SIZE;
    return order.sort(
      (a, b) =>
        keys[a]! - keys[b]! || bytes.compare(bytes, b * CHECKSUM_SIZE, end(b), a * CHECKSUM_SIZE, end(a)),
    );
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
