const REPORT_INTERVAL_MS = 100;

/** Counts the bytes that several threads have done together, and tells now and then how many these are. */
export class DoneBytes {
  readonly #count: BigInt64Array;
  readonly #onBytes: ((bytes: number) => void) | undefined;
  #lastReport = performance.now();

  /**
   * @param offset of the eight bytes in shared memory that hold the count.
   * @param onBytes undefined in threads that only count.
   */
  constructor(shared: SharedArrayBuffer, offset: number, onBytes?: (bytes: number) => void) {
    this.#count = new BigInt64Array(shared, offset, 1);
    this.#onBytes = onBytes;
  }

  add(bytes: number): void {
    const done = Atomics.add(this.#count, 0, BigInt(bytes)) + BigInt(bytes);
    if (this.#onBytes === undefined) return;
    const now = performance.now();
    if (now - this.#lastReport < REPORT_INTERVAL_MS) return;
    this.#lastReport = now;
    this.#onBytes(Number(done));
  }
}
