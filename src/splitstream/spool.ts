/**
 * A queue of bytes that is written once and then read once, in order. Writers of splitstreams hold unfinished data
 * in one; where it is kept (memory, an unnamed file) is the caller's choice.
 */
export interface Spool {
  readonly length: number;
  append(bytes: Uint8Array<ArrayBufferLike>): void;
  /** Gives everything to `sink` in pieces that are valid during the call only, and is empty afterwards. */
  drain(sink: (piece: Uint8Array) => void): void;
}

/** Keeps everything in memory, in one buffer that doubles. */
export class MemorySpool implements Spool {
  #buffer = new Uint8Array(4096);
  length = 0;

  append(bytes: Uint8Array<ArrayBufferLike>): void {
    const needed = this.length + bytes.length;
    if (needed > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, this.length));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.length);
    this.length = needed;
  }

  drain(sink: (piece: Uint8Array) => void): void {
    if (this.length > 0) sink(this.#buffer.subarray(0, this.length));
    this.length = 0;
  }
}
