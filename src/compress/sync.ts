import { constants, createGunzip, createZstdCompress, createZstdDecompress } from "node:zlib";
import { CfsError } from "../errors.ts";
import { ZstdFrameScanner } from "./zstd-frames.ts";

/**
 * Synchronous incremental coders. The streams of node:zlib can be driven step by step through their handle, without
 * an event loop turn a chunk and straight into a buffer of ours, shared memory included; workers need just that.
 * The handle is not a public interface: test/runtime pins what we rely on.
 */
interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array | null,
    inOffset: number,
    inLength: number,
    output: Uint8Array,
    outOffset: number,
    outLength: number,
  ): void;
  onerror: (message: string, errno: number, code: string) => void;
  close(): void;
}

interface Coder {
  readonly _handle: Handle;
  /** Filled by writeSync: output bytes left over, input bytes left over. */
  readonly _writeState: Uint32Array;
}

type Bytes = Uint8Array<ArrayBufferLike>;

export class Stepper {
  readonly #coder: Coder;
  #failure: string | undefined;
  consumed = 0;
  produced = 0;

  constructor(coder: unknown) {
    this.#coder = coder as Coder;
    this.#coder._handle.onerror = (message) => {
      this.#failure = message;
    };
  }

  /** One call of the library; sets `consumed` and `produced`. Returns the library's complaint, if any. */
  step(
    flush: number,
    input: Bytes,
    inStart: number,
    inEnd: number,
    output: Bytes,
    outStart: number,
    outEnd: number,
  ) {
    this.#failure = undefined;
    const { _handle: handle, _writeState: state } = this.#coder;
    handle.writeSync(
      flush,
      input as Uint8Array,
      inStart,
      inEnd - inStart,
      output as Uint8Array,
      outStart,
      outEnd - outStart,
    );
    this.produced = outEnd - outStart - state[0]!;
    this.consumed = inEnd - inStart - state[1]!;
    return this.#failure;
  }

  /**
   * Gives the library all of `input`; what comes out is given to `sink` and is only valid during the call.
   * @param output where it is put; of any size.
   * @throws CfsError Io
   */
  drain(flush: number, input: Bytes, output: Bytes, sink: (piece: Uint8Array) => void): void {
    for (let at = 0; ; ) {
      const failure = this.step(flush, input, at, input.length, output, 0, output.length);
      if (failure !== undefined) throw new CfsError("Io", `compression failed (${failure})`);
      at += this.consumed;
      if (this.produced > 0) sink(output.subarray(0, this.produced));
      if (this.produced < output.length && at === input.length) return;
    }
  }

  close(): void {
    this.#coder._handle.close();
  }
}

/** Turns compressed bytes into plain ones, step by step. */
export interface Decompressor {
  /** Input bytes used by the last step. */
  readonly consumed: number;
  /** Output bytes made by the last step. */
  readonly produced: number;
  /** Works until the input is used up or the output is full. @throws CfsError Corrupt for malformed data. */
  step(input: Bytes, inStart: number, inEnd: number, output: Bytes, outStart: number, outEnd: number): void;
  /** To be called when all input was given: @throws CfsError Corrupt when it ended too early. */
  finish(): void;
  close(): void;
}

const NOTHING = new Uint8Array(0);

/** Gzip with any number of members; zero padding after the last one is tolerated, anything else is an error. */
class Gunzip implements Decompressor {
  consumed = 0;
  produced = 0;
  readonly #stepper = new Stepper(createGunzip());
  #padding = false;

  step(input: Bytes, inStart: number, inEnd: number, output: Bytes, outStart: number, outEnd: number): void {
    this.consumed = 0;
    this.produced = 0;
    if (!this.#padding) {
      const stepper = this.#stepper;
      const failure = stepper.step(constants.Z_NO_FLUSH, input, inStart, inEnd, output, outStart, outEnd);
      if (failure !== undefined) throw new CfsError("Corrupt", `damaged gzip data (${failure})`);
      this.consumed = stepper.consumed;
      this.produced = stepper.produced;
      // zlib takes everything but what cannot begin another member: padding.
      this.#padding = stepper.produced < outEnd - outStart && stepper.consumed < inEnd - inStart;
    }
    if (this.#padding) {
      for (let at = inStart + this.consumed; at < inEnd; at++) {
        if (input[at] !== 0) throw new CfsError("Corrupt", "garbage after the end of the gzip data");
      }
      this.consumed = inEnd - inStart;
    }
  }

  finish(): void {
    const failure = this.#stepper.step(constants.Z_FINISH, NOTHING, 0, 0, new Uint8Array(1), 0, 1);
    this.close();
    if (failure !== undefined) throw new CfsError("Corrupt", "the gzip data ends too early");
  }

  close(): void {
    this.#stepper.close();
  }
}

/** Zstandard with any number of frames, skippable ones included. */
class Unzstd implements Decompressor {
  consumed = 0;
  produced = 0;
  readonly #stepper = new Stepper(createZstdDecompress());
  readonly #frames = new ZstdFrameScanner();

  step(input: Bytes, inStart: number, inEnd: number, output: Bytes, outStart: number, outEnd: number): void {
    const stepper = this.#stepper;
    const failure = stepper.step(constants.ZSTD_e_continue, input, inStart, inEnd, output, outStart, outEnd);
    if (failure !== undefined) throw new CfsError("Corrupt", `damaged zstd data (${failure})`);
    this.consumed = stepper.consumed;
    this.produced = stepper.produced;
    this.#frames.scan(input, inStart, inStart + stepper.consumed);
  }

  finish(): void {
    this.close();
    // The library does not tell a frame that was cut from one that is complete.
    if (!this.#frames.complete) throw new CfsError("Corrupt", "the zstd data ends too early");
  }

  close(): void {
    this.#stepper.close();
  }
}

/** No compression: a copy. */
class Identity implements Decompressor {
  consumed = 0;
  produced = 0;

  step(input: Bytes, inStart: number, inEnd: number, output: Bytes, outStart: number, outEnd: number): void {
    const length = Math.min(inEnd - inStart, outEnd - outStart);
    output.set(input.subarray(inStart, inStart + length), outStart);
    this.consumed = length;
    this.produced = length;
  }

  finish(): void {}
  close(): void {}
}

export type Compression = "none" | "gzip" | "zstd";

export function decompressor(compression: Compression): Decompressor {
  switch (compression) {
    case "none":
      return new Identity();
    case "gzip":
      return new Gunzip();
    case "zstd":
      return new Unzstd();
  }
}

/**
 * Zstandard at the library's default level, without content size and checksum: one frame, whose bytes do not depend
 * on how the input was sliced. This is the frame that splitstreams are made of.
 */
export class ZstdCompressor {
  readonly #stepper = new Stepper(createZstdCompress());
  readonly #out = new Uint8Array(128 * 1024);

  /** Compresses `data`; what comes out is given to `sink` and is only valid during the call. */
  write(data: Bytes, sink: (chunk: Uint8Array) => void): void {
    // A call without data would already begin the frame, and an empty one would then get another header.
    if (data.length > 0) this.#stepper.drain(constants.ZSTD_e_continue, data, this.#out, sink);
  }

  /** Ends the frame. */
  end(sink: (chunk: Uint8Array) => void): void {
    this.#stepper.drain(constants.ZSTD_e_end, NOTHING, this.#out, sink);
    this.#stepper.close();
  }
}
