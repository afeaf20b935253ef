/** Bytes that threads take of a common amount and give back. */
export class SharedBudget {
  readonly shared: SharedArrayBuffer;
  readonly #total: number;
  readonly #taken: BigInt64Array;

  /** @param shared that of another thread's view; made by `SharedBudget.memory`. */
  constructor(shared: SharedArrayBuffer, total: number) {
    this.shared = shared;
    this.#total = total;
    this.#taken = new BigInt64Array(shared);
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
  }

  /** Takes so many bytes if they are there. Who wants more than there are in all gets them when nobody else has any. */
  take(bytes: number): boolean {
    for (;;) {
      const taken = Atomics.load(this.#taken, 0);
      const after = taken + BigInt(bytes);
      if (taken > 0n && after > BigInt(this.#total)) return false;
      if (Atomics.compareExchange(this.#taken, 0, taken, after) === taken) return true;
    }
  }

  give(bytes: number): void {
    Atomics.sub(this.#taken, 0, BigInt(bytes));
  }
}
