import { constants, createZstdDecompress } from "node:zlib";
import { CfsError } from "../errors.ts";
import { Stepper } from "./sync.ts";
import { ZstdFrameScanner } from "./zstd-frames.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/**
 * Decodes one frame of Zstandard whose matches may reach back into a prefix, which comes before its content
 * (`zstd --patch-from`). What follows the frame is not looked at.
 */
export class PrefixedFrame {
  /** Input bytes used by the last step. */
  consumed = 0;
  /** Output bytes made by the last step. */
  produced = 0;
  readonly #stepper: Stepper;
  readonly #frame = new ZstdFrameScanner();
  #ended = false;
  /** So many of the next input bytes belong to the frame. */
  #known = 0;

  /**
   * @param padded any byte, and then the prefix; not needed any more when this returns. Without the byte the library
   *   would take a prefix that happens to begin as a dictionary does for one; matches are counted from its end.
   * @param maxWindowLog frames with a larger window are refused: a power of two.
   */
  constructor(padded: Uint8Array, maxWindowLog: number) {
    const options = { dictionary: padded, params: { [constants.ZSTD_d_windowLogMax]: maxWindowLog } };
    this.#stepper = new Stepper(createZstdDecompress(options));
  }

  /** Whether the frame was read to its end; while steps fill all the output that they are given, there is more. */
  get isRead(): boolean {
    return this.#ended && this.#known === 0;
  }

  /**
   * Works until the frame ends, the input is used up or the output is full. What was not consumed is to be given again.
   * @throws CfsError Corrupt
   */
  step(input: Bytes, inStart: number, inEnd: number, output: Bytes, outStart: number, outEnd: number): void {
    // The library would go on with a frame that follows: it is shown no more than what belongs to this one.
    const seen = inStart + this.#known;
    if (!this.#ended && seen < inEnd) {
      this.#known = this.#frame.scanFrame(input, seen, inEnd) - inStart;
      this.#ended = this.#frame.complete;
    }
    const end = Math.min(inEnd, inStart + this.#known);
    const stepper = this.#stepper;
    const failure = stepper.step(constants.ZSTD_e_continue, input, inStart, end, output, outStart, outEnd);
    if (failure !== undefined) throw new CfsError("Corrupt", `damaged zstd data (${failure})`);
    this.consumed = stepper.consumed;
    this.produced = stepper.produced;
    this.#known -= stepper.consumed;
  }

  close(): void {
    this.#stepper.close();
  }
}
