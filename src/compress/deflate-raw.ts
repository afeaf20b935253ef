import { constants, createDeflateRaw } from "node:zlib";
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
    this.#stepper.drain(last ? constants.Z_FINISH : constants.Z_NO_FLUSH, data, this.#out, sink);
  }
}
