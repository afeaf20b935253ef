import {
  HASH_CONTEXT_SIZE,
  type ResumableAlgorithm,
  type ResumableHash,
  resumableHash,
} from "../sys/libcrypto.ts";
import type { Slab } from "./slabs.ts";

const HASH_LOCK = 0;
const HASH_NEXT = 1;
/** Place in `RESUMABLE` of the algorithm. */
const HASH_ALGORITHM = 2;
const HASH_WORDS = 16;
/** Bytes of shared memory for each hash. */
export const HASH_STRIDE = HASH_WORDS * 4 + HASH_CONTEXT_SIZE;

const RESUMABLE: readonly ResumableAlgorithm[] = ["sha256", "sha512"];

/** A hash of one owner's slabs in the order in which they were submitted; any thread does the next piece. */
export class OrderedHash {
  readonly #words: Int32Array;
  readonly #context: Uint8Array<ArrayBufferLike>;
  readonly #slabs: readonly Slab[];
  #added = 0;

  constructor(shared: SharedArrayBuffer, at: number, slabs: readonly Slab[]) {
    this.#words = new Int32Array(shared, at, HASH_WORDS);
    this.#context = new Uint8Array(shared, at + HASH_WORDS * 4, HASH_CONTEXT_SIZE);
    this.#slabs = slabs;
  }

  begin(algorithm: string): boolean {
    const number = RESUMABLE.indexOf(algorithm as ResumableAlgorithm);
    const hash = number < 0 ? undefined : resumableHash(RESUMABLE[number]!);
    if (hash === undefined) return false;
    this.#added = 0;
    this.#words[HASH_ALGORITHM] = number;
    Atomics.store(this.#words, HASH_NEXT, 0);
    hash.begin(this.#context);
    return true;
  }

  add(slab: Slab): void {
    slab.hashTurn = this.#added++;
  }

  finish(): string {
    return this.#hash()!.finish(this.#context);
  }

  /** Hashes the slab whose turn it is. @returns false when it is not there yet, or another thread is at it. */
  advance(): boolean {
    if (!this.#slabs.some((slab) => slab.isUnhashed)) return false;
    if (Atomics.compareExchange(this.#words, HASH_LOCK, 0, 1) !== 0) return false;
    try {
      const turn = Atomics.load(this.#words, HASH_NEXT);
      const slab = this.#slabs.find((one) => one.isUnhashed && one.isSubmitted && one.hashTurn === turn);
      const hash = slab && this.#hash();
      if (slab === undefined || hash === undefined) return false;
      hash.update(this.#context, slab.hashRange);
      Atomics.store(this.#words, HASH_NEXT, turn + 1);
      slab.endHash();
      return true;
    } finally {
      Atomics.store(this.#words, HASH_LOCK, 0);
    }
  }

  /** After this, nobody hashes any of the slabs. */
  withdraw(): void {
    while (Atomics.compareExchange(this.#words, HASH_LOCK, 0, 1) !== 0) Bun.sleepSync(1);
    for (const slab of this.#slabs) slab.endHash();
    Atomics.store(this.#words, HASH_LOCK, 0);
  }

  #hash(): ResumableHash | undefined {
    return resumableHash(RESUMABLE[this.#words[HASH_ALGORITHM]!]!);
  }
}
