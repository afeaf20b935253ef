import { constants, createGzip, createZstdCompress } from "node:zlib";
import { type Compression, Stepper } from "./sync.ts";

/** What levels mean: gzip 1 to 9, zstd 1 to 22. More takes longer. */
export const MAX_LEVELS: Readonly<Record<Compression, number>> = { none: 0, gzip: 9, zstd: 22 };

const BLOCK = 256 * 1024;

type Bytes = Uint8Array<ArrayBufferLike>;
type Sink = (piece: Bytes) => void;

/** Compresses data that comes in pieces, into bytes that don't depend on how it was cut, nor on the time. */
export interface Compressor {
  /** @param sink is given what comes out, which is valid during the call only. */
  write(data: Bytes, sink: Sink): void;
  /** Ends the data. */
  end(sink: Sink): void;
  close(): void;
}

class SteppedCompressor implements Compressor {
  readonly #stepper: Stepper;
  readonly #onward: number;
  readonly #ending: number;
  readonly #out = new Uint8Array(128 * 1024);
  /** zlib finds other matches when it is given its input in other pieces: it always gets whole blocks. */
  readonly #block = new Uint8Array(BLOCK);
  #filled = 0;

  constructor(coder: unknown, onward: number, ending: number) {
    this.#stepper = new Stepper(coder);
    this.#onward = onward;
    this.#ending = ending;
  }

  write(data: Bytes, sink: Sink): void {
    for (let at = 0; at < data.length; ) {
      if (this.#filled === 0 && data.length - at >= BLOCK) {
        this.#stepper.drain(this.#onward, data.subarray(at, at + BLOCK), this.#out, sink);
        at += BLOCK;
        continue;
      }
      const piece = data.subarray(at, at + BLOCK - this.#filled);
      this.#block.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled < BLOCK) return;
      this.#stepper.drain(this.#onward, this.#block, this.#out, sink);
      this.#filled = 0;
    }
  }

  end(sink: Sink): void {
    this.#stepper.drain(this.#ending, this.#block.subarray(0, this.#filled), this.#out, sink);
  }

  close(): void {
    this.#stepper.close();
  }
}

const IDENTITY: Compressor = {
  write: (data, sink) => sink(data),
  end: () => {},
  close: () => {},
};

/**
 * @param level the library's usual one (gzip 6, zstd 3) unless given.
 * @param size bytes that there will be, exactly, where that is known: zstd takes less memory for few, and says how many
 * there are.
 */
export function compressor(compression: Compression, level?: number, size?: number): Compressor {
  switch (compression) {
    case "none":
      return IDENTITY;
    case "gzip":
      return new SteppedCompressor(
        createGzip(level === undefined ? {} : { level }),
        constants.Z_NO_FLUSH,
        constants.Z_FINISH,
      );
    case "zstd":
      return new SteppedCompressor(
        createZstdCompress({
          params: {
            // Its absence would leave damage to be found by the digest alone.
            [constants.ZSTD_c_checksumFlag]: 1,
            ...(level !== undefined && { [constants.ZSTD_c_compressionLevel]: level }),
          },
          ...(size !== undefined && { pledgedSrcSize: size }),
        }),
        constants.ZSTD_e_continue,
        constants.ZSTD_e_end,
      );
  }
}
