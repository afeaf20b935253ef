import { constants, createInflateRaw } from "node:zlib";
import { CfsError } from "../errors.ts";
import { Stepper } from "./sync.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

interface Resettable {
  readonly _handle: { reset(): void };
}

/**
 * Raw deflate (RFC 1951), step by step, one stream after the other with the same decoder: making a new one takes as
 * long as inflating a small file.
 */
export class RawInflater {
  readonly #coder = createInflateRaw() as unknown as Resettable;
  readonly #stepper = new Stepper(this.#coder);
  /** Input bytes used by the last step. */
  consumed = 0;
  /** Output bytes made by the last step. */
  produced = 0;

  /** Begins a new stream. */
  reset(): void {
    this.#coder._handle.reset();
  }

  /**
   * Works until the input is used up, the output is full or the stream has ended. What comes after its end is not
   * consumed.
   * @param last no more input will follow: when there is room in the output after this, the stream has ended.
   * @throws CfsError Corrupt for malformed data, and when the last input is used up before the stream ends.
   */
  step(
    input: Bytes,
    inStart: number,
    inEnd: number,
    last: boolean,
    output: Bytes,
    outStart: number,
    outEnd: number,
  ): void {
    // Told at once that nothing follows, zlib keeps no history when all of the output is there.
    const flush = last ? constants.Z_FINISH : constants.Z_NO_FLUSH;
    const failure = this.#stepper.step(flush, input, inStart, inEnd, output, outStart, outEnd);
    if (failure !== undefined) throw new CfsError("Corrupt", `damaged deflate data (${failure})`);
    this.consumed = this.#stepper.consumed;
    this.produced = this.#stepper.produced;
  }

  close(): void {
    this.#stepper.close();
  }
}
