import { HASH_STRIDE, OrderedHash } from "./ordered-hash.ts";

/**
 * Shared memory through which threads hand each other data without copying it: a slab is filled by its owner, worked
 * on by whichever thread takes it first, and then read and reused by its owner. The number of slabs bounds the memory.
 */

/** Bytes of data in a slab. */
export const SLAB_SIZE = 1 * 1024 * 1024;
/** A tar entry with an external body takes two blocks of 512 bytes at least. */
const MAX_ITEMS = SLAB_SIZE / 1024 + 1;
/** Room for one digest of at most 64 bytes an item, and one for each 4096-byte block of pieces of large files. */
const RESULT_SIZE = (MAX_ITEMS + SLAB_SIZE / 4096 + 1) * 64;

const STATE = 0;
const ITEM_COUNT = 1;
/** Whether a range of the data is to be hashed in its turn, which one, and the turn. */
const HASHING = 2;
const HASH_START = 3;
const HASH_END = 4;
const HASH_TURN = 5;
const HEADER_WORDS = 6;
/** Words of an item: offset, length, result, file descriptor, position (two words), answer. */
const ITEM_WORDS = 7;

const ITEMS_BYTES = pages((HEADER_WORDS + MAX_ITEMS * ITEM_WORDS) * 4);
const RESULTS_BYTES = pages(RESULT_SIZE);
const SLAB_STRIDE = ITEMS_BYTES + RESULTS_BYTES + SLAB_SIZE;

function pages(bytes: number): number {
  return Math.ceil(bytes / 4096) * 4096;
}

enum State {
  Free,
  Ready,
  Taken,
  Done,
  /** Working on it failed; nothing in it is of use. */
  Failed,
}

/** `fd` of an item that is a whole file. */
export const WHOLE_FILE = -1;

export class Slab {
  readonly data: Uint8Array<ArrayBufferLike>;
  readonly results: Buffer<ArrayBufferLike>;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer, index: number) {
    const at = index * SLAB_STRIDE;
    this.#words = new Int32Array(memory, at, ITEMS_BYTES / 4);
    this.results = Buffer.from(memory, at + ITEMS_BYTES, RESULTS_BYTES);
    this.data = new Uint8Array(memory, at + ITEMS_BYTES + RESULTS_BYTES, SLAB_SIZE);
  }

  is(state: State): boolean {
    return Atomics.load(this.#words, STATE) === state;
  }

  become(state: State): void {
    Atomics.store(this.#words, STATE, state);
  }

  /** Claims a ready slab; false when another thread was faster. */
  take(): boolean {
    return Atomics.compareExchange(this.#words, STATE, State.Ready, State.Taken) === State.Ready;
  }

  /** Asks for a range of the data to be hashed behind what the owner has submitted before. */
  hash(start: number, end: number): void {
    this.#words[HASH_START] = start;
    this.#words[HASH_END] = end;
    Atomics.store(this.#words, HASHING, 1);
  }

  /** Whether its owner has filled it. */
  get isSubmitted(): boolean {
    return !this.is(State.Free);
  }

  /** Whether it is to be hashed, now or when the slabs before it are. */
  get isUnhashed(): boolean {
    return Atomics.load(this.#words, HASHING) === 1;
  }

  get hashTurn(): number {
    return this.#words[HASH_TURN]!;
  }
  set hashTurn(turn: number) {
    this.#words[HASH_TURN] = turn;
  }

  get hashRange(): Uint8Array<ArrayBufferLike> {
    return this.data.subarray(this.#words[HASH_START]!, this.#words[HASH_END]!);
  }

  /** It is hashed, or need not be any more. */
  endHash(): void {
    Atomics.store(this.#words, HASHING, 0);
  }

  get itemCount(): number {
    return this.#words[ITEM_COUNT]!;
  }

  clear(): void {
    this.#words[ITEM_COUNT] = 0;
  }

  /**
   * Adds a range of the data to be worked on.
   * @param result where its answer goes in `results`.
   * @param fd the file that the range is a piece of, or WHOLE_FILE.
   * @param position of the piece in that file.
   */
  addItem(offset: number, length: number, result: number, fd: number, position: number): void {
    const at = HEADER_WORDS + this.#words[ITEM_COUNT]!++ * ITEM_WORDS;
    this.#words[at] = offset;
    this.#words[at + 1] = length;
    this.#words[at + 2] = result;
    this.#words[at + 3] = fd;
    this.#words[at + 4] = position | 0;
    this.#words[at + 5] = Math.floor(position / 0x1_0000_0000);
    this.#words[at + 6] = 0;
  }

  offset(item: number): number {
    return this.#words[HEADER_WORDS + item * ITEM_WORDS]!;
  }
  length(item: number): number {
    return this.#words[HEADER_WORDS + item * ITEM_WORDS + 1]!;
  }
  result(item: number): number {
    return this.#words[HEADER_WORDS + item * ITEM_WORDS + 2]!;
  }
  fd(item: number): number {
    return this.#words[HEADER_WORDS + item * ITEM_WORDS + 3]!;
  }
  position(item: number): number {
    const at = HEADER_WORDS + item * ITEM_WORDS;
    return this.#words[at + 5]! * 0x1_0000_0000 + (this.#words[at + 4]! >>> 0);
  }
  /** Items, and blocks of 4096 bytes in them: about as many views and strings are made for them. */
  get parts(): number {
    let parts = this.itemCount;
    for (let item = 0; item < this.itemCount; item++) parts += this.length(item) >> 12;
    return parts;
  }
  /** Whether working on the item created an object. */
  created(item: number): boolean {
    return this.#words[HEADER_WORDS + item * ITEM_WORDS + 6] === 1;
  }
  setCreated(item: number): void {
    this.#words[HEADER_WORDS + item * ITEM_WORDS + 6] = 1;
  }
}

/**
 * Items and blocks of items between two garbage collections, as many as 16 slabs have. Left alone, the collector lets
 * views and strings pile up to several times the size of all slabs in each thread (pull of 640 MB: 285 MB at the peak,
 * 190 MB this way); a collection takes 2 to 5 ms.
 */
const PARTS_PER_COLLECTION = 4096;

/** What is sent to the threads: all of it is shared memory. */
export interface SharedSlabs {
  readonly memory: SharedArrayBuffer;
  /** The hash that each owner has under way. */
  readonly hashes: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  readonly owners: number;
  readonly slabsPerOwner: number;
}

const SUBMITTED = 0;
const COMPLETED = 1;
const OWNERS_LEFT = 2;
const ABORTED = 3;
const NEXT_TASK = 4;
/** Threads that have nothing to do. */
const IDLE = 5;
const CONTROL_WORDS = 6;

/** A wait ends when it is notified; the limit only guards against a thread that died. */
const WAIT_MS = 1000;

/** @param owners number of threads; each fills slabs of its own and works on everybody's. */
export function createSlabs(owners: number): SharedSlabs {
  const slabsPerOwner = owners > 8 ? 3 : 4;
  const control = new SharedArrayBuffer(CONTROL_WORDS * 4);
  new Int32Array(control)[OWNERS_LEFT] = owners;
  return {
    memory: new SharedArrayBuffer(owners * slabsPerOwner * SLAB_STRIDE),
    hashes: new SharedArrayBuffer(owners * HASH_STRIDE),
    control,
    owners,
    slabsPerOwner,
  };
}

/** Thrown when this thread must stop because another one failed; that one reports why. */
export class Aborted extends Error {
  constructor() {
    super("stopped because another thread failed");
  }
}

/** One thread's view of the shared slabs. `process` does the work that a slab asks for. */
export class SlabExchange {
  readonly #slabs: Slab[];
  readonly #own: Slab[];
  readonly #control: Int32Array;
  readonly #process: (slab: Slab) => void;
  /** Its own comes first. */
  readonly #hashes: OrderedHash[];
  readonly #ownHash: OrderedHash;
  /** Parts that were worked on since the last garbage collection. */
  #parts = 0;

  constructor(shared: SharedSlabs, owner: number, process: (slab: Slab) => void) {
    this.#slabs = Array.from(
      { length: shared.owners * shared.slabsPerOwner },
      (_, index) => new Slab(shared.memory, index),
    );
    this.#own = this.#slabs.slice(owner * shared.slabsPerOwner, (owner + 1) * shared.slabsPerOwner);
    this.#hashes = Array.from({ length: shared.owners }, (_, i) => {
      const slabs = this.#slabs.slice(i * shared.slabsPerOwner, (i + 1) * shared.slabsPerOwner);
      return new OrderedHash(shared.hashes, i * HASH_STRIDE, slabs);
    });
    this.#ownHash = this.#hashes.splice(owner, 1)[0]!;
    this.#hashes.unshift(this.#ownHash);
    this.#control = new Int32Array(shared.control);
    this.#process = process;
  }

  /** Number of the next task that nobody has begun. */
  nextTask(): number {
    return Atomics.add(this.#control, NEXT_TASK, 1);
  }

  get aborted(): boolean {
    return Atomics.load(this.#control, ABORTED) !== 0;
  }

  /** Makes all threads stop at the next opportunity. */
  abort(): void {
    abort(this.#control);
  }

  /** A free slab of this thread, or undefined when all are in use. */
  acquire(): Slab | undefined {
    const slab = this.#own.find((candidate) => candidate.is(State.Free));
    slab?.clear();
    return slab;
  }

  /**
   * Begins a hash of what `Slab.hash` names in the slabs to be submitted: whichever thread is free goes on with it.
   * @returns false when this can't be done here.
   */
  beginHash(algorithm: string): boolean {
    return this.#ownHash.begin(algorithm);
  }

  /** To be called when all slabs are finished. @returns the hash in hex. */
  finishHash(): string {
    return this.#ownHash.finish();
  }

  /** Offers a filled slab to all threads; one without items that is not to be hashed needs no work. */
  submit(slab: Slab): void {
    const { isUnhashed } = slab;
    if (isUnhashed) this.#ownHash.add(slab);
    slab.become(slab.itemCount === 0 ? State.Done : State.Ready);
    if (isUnhashed || slab.itemCount > 0) this.#wake(SUBMITTED);
    // What was just filled is in the cache; another core would have to fetch it.
    if (isUnhashed && Atomics.load(this.#control, IDLE) === 0) this.#ownHash.advance();
  }

  /** Waits until a submitted slab is done, working on this or other slabs meanwhile. @throws when aborted. */
  finish(slab: Slab): void {
    for (;;) {
      if (this.aborted) throw new Aborted();
      const isFinished = () => slab.is(State.Done) && !slab.isUnhashed;
      if (isFinished()) return;
      const completed = Atomics.load(this.#control, COMPLETED);
      if (this.#work(slab) || this.#workOnAny()) continue;
      if (!isFinished()) this.#sleep(COMPLETED, completed);
    }
  }

  /** Waits until something is true that another thread brings about, working on slabs meanwhile. @throws when aborted. */
  waitUntil(condition: () => boolean): void {
    for (;;) {
      if (this.aborted) throw new Aborted();
      const submitted = Atomics.load(this.#control, SUBMITTED);
      if (condition()) return;
      if (!this.#workOnAny()) this.#sleep(SUBMITTED, submitted);
    }
  }

  /** Gives a slab that is done back. */
  release(slab: Slab): void {
    slab.become(State.Free);
  }

  /**
   * Takes back all slabs of this thread, whatever their state, and waits for those that are being worked on:
   * after this, nobody touches them or the files they name.
   */
  withdraw(): void {
    this.#ownHash.withdraw();
    for (const slab of this.#own) {
      while (!slab.take() && slab.is(State.Taken)) Bun.sleepSync(1);
      slab.become(State.Free);
    }
  }

  /** Works on the slabs of others until all owners have said that they will submit no more. */
  helpOthers(): void {
    Atomics.sub(this.#control, OWNERS_LEFT, 1);
    this.#wake(SUBMITTED);
    while (Atomics.load(this.#control, OWNERS_LEFT) > 0 && !this.aborted) {
      const submitted = Atomics.load(this.#control, SUBMITTED);
      if (this.#workOnAny()) continue;
      if (Atomics.load(this.#control, OWNERS_LEFT) > 0) this.#sleep(SUBMITTED, submitted);
    }
  }

  /** Hashing comes first: of each owner's slabs, only one thread at a time can do it. */
  #workOnAny(): boolean {
    for (const hash of this.#hashes) {
      if (!hash.advance()) continue;
      this.#wake(COMPLETED);
      return true;
    }
    return this.#slabs.some((slab) => this.#work(slab));
  }

  #work(slab: Slab): boolean {
    if (!slab.is(State.Ready) || !slab.take()) return false;
    const { parts } = slab;
    try {
      this.#process(slab);
    } catch (error) {
      // Before the slab is given up: its owner must find out that there are no results.
      this.abort();
      slab.become(State.Failed);
      throw error;
    }
    slab.become(State.Done);
    this.#wake(COMPLETED);
    this.#parts += parts;
    if (this.#parts >= PARTS_PER_COLLECTION) {
      this.#parts = 0;
      Bun.gc(true);
    }
    return true;
  }

  #sleep(counter: number, value: number): void {
    Atomics.add(this.#control, IDLE, 1);
    Atomics.wait(this.#control, counter, value, WAIT_MS);
    Atomics.sub(this.#control, IDLE, 1);
  }

  #wake(counter: number): void {
    wake(this.#control, counter);
  }
}

/** As `SlabExchange.abort`, for who takes no part in the work. */
export function abortAll({ control }: SharedSlabs): void {
  abort(new Int32Array(control));
}

/** Makes threads in `waitUntil` look at their conditions again. */
export function wakeWaiting({ control }: SharedSlabs): void {
  wake(new Int32Array(control), SUBMITTED);
}

function abort(control: Int32Array): void {
  Atomics.store(control, ABORTED, 1);
  wake(control, SUBMITTED);
  wake(control, COMPLETED);
}

function wake(control: Int32Array, counter: number): void {
  Atomics.add(control, counter, 1);
  Atomics.notify(control, counter);
}
