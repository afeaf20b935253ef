import type { ByteString } from "../bytes.ts";

const PIECE_BITS = 20;
const PIECE_SIZE = 1 << PIECE_BITS;
const DOT = 0x2e;

/** Names of up to 255 bytes, by number: 5 bytes for each beside its own, where a string takes 64. */
export class NameColumn {
  /** Of `PIECE_SIZE` bytes; no name is divided between two. */
  readonly #pieces: Uint8Array[] = [];
  readonly #starts: Uint32Array;
  readonly #lengths: Uint8Array;
  #end = 0;

  /** @param count how many names there can be. */
  constructor(count: number) {
    this.#starts = new Uint32Array(count);
    this.#lengths = new Uint8Array(count);
  }

  set(index: number, name: ByteString): void {
    const { length } = name;
    let end = this.#end;
    if ((end & (PIECE_SIZE - 1)) + length > PIECE_SIZE || end === this.#pieces.length * PIECE_SIZE) {
      end = this.#pieces.length * PIECE_SIZE;
      this.#pieces.push(new Uint8Array(PIECE_SIZE));
    }
    const piece = this.#pieces[this.#pieces.length - 1]!;
    const at = end & (PIECE_SIZE - 1);
    // Most names are so short that calling `latin1Write` takes longer.
    for (let i = 0; i < length; i++) piece[at + i] = name.charCodeAt(i);
    this.#starts[index] = end;
    this.#lengths[index] = length;
    this.#end = end + length;
  }

  lengthOf(index: number): number {
    return this.#lengths[index]!;
  }

  /** Whether it is `.` or `..`. */
  isDots(index: number): boolean {
    const length = this.#lengths[index]!;
    if (length > 2) return false;
    const piece = this.#pieceOf(index);
    const at = this.#offsetOf(index);
    return piece[at] === DOT && (length === 1 || piece[at + 1] === DOT);
  }

  text(index: number): ByteString {
    const at = this.#offsetOf(index);
    return Buffer.from(this.#pieceOf(index).buffer, at, this.lengthOf(index)).latin1Slice();
  }

  /** Writes a name to `out` from `outAt` on. */
  write(index: number, out: Uint8Array, outAt: number): void {
    const piece = this.#pieceOf(index);
    const at = this.#offsetOf(index);
    const length = this.#lengths[index]!;
    for (let i = 0; i < length; i++) out[outAt + i] = piece[at + i]!;
  }

  #pieceOf(index: number): Uint8Array {
    return this.#pieces[this.#starts[index]! >>> PIECE_BITS]!;
  }

  #offsetOf(index: number): number {
    return this.#starts[index]! & (PIECE_SIZE - 1);
  }
}
