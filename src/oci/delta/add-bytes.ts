type Bytes = Uint8Array<ArrayBufferLike>;

/** Adds bytes (mod 256) to others in place, four at a time: wherever they are zero, as most are, nothing is written. */
export class ByteAdder {
  #target: Bytes = new Uint8Array(0);
  #targetWords: Uint32Array<ArrayBufferLike> = new Uint32Array(0);
  readonly #addends: Uint8Array<ArrayBuffer>;
  readonly #addendWords: Uint32Array;

  /** @param max bytes that are added at once. */
  constructor(max: number) {
    const words = (max >> 2) + 2;
    this.#addends = new Uint8Array(words * 4);
    this.#addendWords = new Uint32Array(this.#addends.buffer);
  }

  /** Where the bytes that are to be added to `target[at, at + length)` have to be put. */
  addendsFor(target: Bytes, at: number, length: number): Uint8Array<ArrayBuffer> {
    const phase = (target.byteOffset + at) & 3;
    return this.#addends.subarray(phase, phase + length);
  }

  add(target: Bytes, at: number, length: number): void {
    if (this.#target !== target) {
      this.#target = target;
      const first = target.byteOffset & ~3;
      const words = (target.byteOffset + target.length - first) >> 2;
      this.#targetWords = new Uint32Array(target.buffer, first, words);
    }
    const phase = (target.byteOffset + at) & 3;
    const headEnd = Math.min(length, (4 - phase) & 3);
    const addends = this.#addends;
    for (let i = 0; i < headEnd; i++) target[at + i]! += addends[phase + i]!;
    const words = (length - headEnd) >> 2;
    const from = (phase + headEnd) >> 2;
    const to = ((target.byteOffset & 3) + at + headEnd) >> 2;
    const targetWords = this.#targetWords;
    const addendWords = this.#addendWords;
    for (let i = 0; i < words; i++) {
      const addend = addendWords[from + i]!;
      if (addend === 0) continue;
      const value = targetWords[to + i]!;
      // The highest bits are added without carry, so that none gets into the next byte.
      targetWords[to + i] = ((value & 0x7f7f7f7f) + (addend & 0x7f7f7f7f)) ^ ((value ^ addend) & 0x80808080);
    }
    for (let i = headEnd + words * 4; i < length; i++) target[at + i]! += addends[phase + i]!;
  }
}
