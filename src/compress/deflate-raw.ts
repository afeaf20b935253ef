import { constants, createDeflateRaw } from "node:zlib";
import { CfsError } from "../errors.ts";
import { Stepper } from "./sync.ts";

interface Resettable {
  readonly _handle: { reset(): void };
}

/**
 * Raw deflate (RFC 1951) at zlib's default level, one stream after the other with the same coder: making a new one
 * takes longer than compressing a small file.
 */
export class RawDeflater {
  readonly #coder = createDeflateRaw() as unknown as Resettable;
  readonly #stepper = new Stepper(this.#coder);
  readonly #out = new Uint8Array(256 * 1024);

  /** Begins a new stream. */
  reset(): void {
    this.#coder._handle.reset();
  }

  /**
   * Compresses the next piece.
   * @param last nothing follows: the stream is ended.
   * @param sink gets what comes out, in pieces that are valid until it returns.
   */
  write(data: Uint8Array, last: boolean, sink: (piece: Uint8Array) => void): void {
    const out = this.#out;
    const flush = last ? constants.Z_FINISH : constants.Z_NO_FLUSH;
    for (let at = 0; ; ) {
      const failure = this.#stepper.step(flush, data, at, data.length, out, 0, out.length);
      if (failure !== undefined) throw new CfsError("Io", `compression failed (${failure})`);
      at += this.#stepper.consumed;
      if (this.#stepper.produced > 0) sink(out.subarray(0, this.#stepper.produced));
      if (this.#stepper.produced < out.length && at === data.length) return;
    }
  }
}
