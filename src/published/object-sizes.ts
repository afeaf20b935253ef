import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { DigestTable } from "../verity/digest-table.ts";
import type { KnownSize } from "./references.ts";

/** Objects, each once, with what is known of their sizes: millions of them don't take much memory. */
export class ObjectSizes {
  readonly algorithm: Algorithm;
  readonly #ids: DigestTable;
  readonly #key: Buffer<ArrayBuffer>;
  /** Bytes; NaN where it is not known. */
  #exact = new Float64Array(1024).fill(Number.NaN);
  #max = new Float64Array(1024).fill(Number.POSITIVE_INFINITY);

  constructor(algorithm: Algorithm) {
    this.algorithm = algorithm;
    this.#ids = new DigestTable(algorithm.size);
    this.#key = Buffer.alloc(algorithm.size);
  }

  get length(): number {
    return this.#ids.length;
  }

  add(id: ObjectId, { exact, max }: KnownSize): void {
    const index = this.#ids.indexOf(id);
    if (index >= this.#exact.length) this.#grow();
    if (exact !== undefined) this.#exact[index] = exact;
    if (max !== undefined) this.#max[index] = Math.min(this.#max[index]!, max);
  }

  has(id: ObjectId): boolean {
    return this.#indexOf(id) >= 0;
  }

  /** Undefined for an object that is not among them. */
  get(id: ObjectId): KnownSize | undefined {
    const index = this.#indexOf(id);
    return index < 0 ? undefined : this.#sizeAt(index);
  }

  #indexOf(id: ObjectId): number {
    this.#key.hexWrite(id);
    return this.#ids.find(this.#key, 0);
  }

  *[Symbol.iterator](): Generator<readonly [ObjectId, KnownSize]> {
    const { size } = this.algorithm;
    // While this is read nothing is added, so that the digests stay where they are.
    const digests = this.#ids.bytes();
    for (let i = 0; i * size < digests.length; i++) {
      const id = digests.hexSlice(i * size, (i + 1) * size) as ObjectId;
      yield [id, this.#sizeAt(i)];
    }
  }

  #sizeAt(index: number): KnownSize {
    const exact = this.#exact[index]!;
    if (!Number.isNaN(exact)) return { exact, max: exact };
    const max = this.#max[index]!;
    return Number.isFinite(max) ? { max } : {};
  }

  #grow(): void {
    const length = this.#exact.length * 2;
    const exact = new Float64Array(length).fill(Number.NaN);
    exact.set(this.#exact);
    this.#exact = exact;
    const max = new Float64Array(length).fill(Number.POSITIVE_INFINITY);
    max.set(this.#max);
    this.#max = max;
  }
}
