const FD = 0;
const WORDS = 4;

/**
 * Files into which blobs are being transported, in shared memory: one thread fills them, others read what is there
 * already.
 */
export class Arrivals {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #counts: BigInt64Array;

  constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
    this.#counts = new BigInt64Array(shared);
  }

  static of(blobs: number): Arrivals {
    const arrivals = new Arrivals(new SharedArrayBuffer(blobs * WORDS * 4));
    for (let blob = 0; blob < blobs; blob++) arrivals.#words[blob * WORDS + FD] = -1;
    return arrivals;
  }

  /** @param bytes of the blob that are in the file already. */
  begin(blob: number, fd: number, bytes: number): void {
    this.advance(blob, bytes);
    Atomics.store(this.#words, blob * WORDS + FD, fd);
  }

  advance(blob: number, bytes: number): void {
    Atomics.store(this.#counts, (blob * WORDS) / 2 + 1, BigInt(bytes));
  }

  /** Undefined until the transport begins. */
  fd(blob: number): number | undefined {
    const fd = Atomics.load(this.#words, blob * WORDS + FD);
    return fd < 0 ? undefined : fd;
  }

  /** Bytes of the blob that may be read. */
  bytes(blob: number): number {
    return Number(Atomics.load(this.#counts, (blob * WORDS) / 2 + 1));
  }
}
