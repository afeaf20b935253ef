import { type ByteString, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { ObjectId } from "../verity/digest.ts";
import { emptyEntry, type TarEntry } from "./entry.ts";
import { endInsideBody, TarParser } from "./parser.ts";

/** A piece of a layer's splitstream, as the splitstream reader gives it. */
export type LayerChunk = { readonly inline: Uint8Array } | { readonly object: ObjectId };

/** An entry of a layer and where its body is. Both are valid until the next one is asked for. */
export interface LayerItem {
  entry: TarEntry;
  /** Body of a regular file of at most 64 bytes; empty for everything that has no body. */
  inline: Uint8Array;
  /** Object that holds the body of a larger regular file. */
  object: ObjectId | undefined;
}

const NO_BYTES = new Uint8Array(0);

/** Longest extension header with its data, and one chunk more. */
const INITIAL_BUFFER = 512 * 1024;

/**
 * The entries of a layer in the order of its archive.
 * @throws CfsError Invalid for a bad archive, Corrupt when the stream is not split as the format demands.
 */
export function* readLayer(chunks: Iterable<LayerChunk>): Generator<LayerItem> {
  const input = new InlineInput(chunks);
  const parser = new TarParser();
  const item: LayerItem = { entry: emptyEntry(), inline: NO_BYTES, object: undefined };
  for (;;) {
    const step = parser.step(input.buffer, input.start, input.end, input.atEnd);
    if (step.kind === "more") {
      if (!input.fill()) throw new CfsError("Corrupt", "Splitstream incorrectly stored a header external");
      continue;
    }
    if (step.kind === "end") return;
    if (step.kind === "inline") {
      input.skip(step.length);
      continue;
    }
    item.entry = step.entry;
    item.object = undefined;
    item.inline = NO_BYTES;
    input.start += step.headerLength;
    let rest = step.size + step.padding;
    if (step.external) {
      const { path } = step.entry;
      item.object = input.takeObject();
      if (item.object === undefined) throw incorrectlyStored(path, "inline");
      rest = step.padding;
    } else if (step.entry.type === "file") {
      item.inline = input.buffer.subarray(input.start, input.start + step.size);
    }
    yield item;
    input.skip(rest);
  }
}

function incorrectlyStored(path: ByteString, how: string): CfsError {
  return new CfsError("Corrupt", `Splitstream incorrectly stored a large file ${how}: ${display(path)}`);
}

/** Gathers inline chunks so that headers lie in one piece of memory. */
class InlineInput {
  readonly #chunks: Iterator<LayerChunk>;
  /** A reference that was met while looking for inline bytes. */
  #object: ObjectId | undefined;
  #ended = false;
  buffer: Uint8Array<ArrayBuffer> = new Uint8Array(INITIAL_BUFFER);
  start = 0;
  end = 0;

  constructor(chunks: Iterable<LayerChunk>) {
    this.#chunks = chunks[Symbol.iterator]();
  }

  /** Nothing follows what is in the buffer. */
  get atEnd(): boolean {
    return this.#ended;
  }

  /** Adds inline bytes or sets `atEnd`; false when a reference comes first. */
  fill(): boolean {
    const piece = this.#nextInline();
    if (piece === undefined) return this.#ended;
    this.#append(piece, 0);
    return true;
  }

  skip(length: number): void {
    const inBuffer = Math.min(length, this.end - this.start);
    this.start += inBuffer;
    for (let left = length - inBuffer; left > 0; ) {
      const piece = this.#nextInline();
      if (piece === undefined) {
        if (this.#ended) throw endInsideBody();
        throw new CfsError("Corrupt", "Splitstream incorrectly stored a small file external");
      }
      if (piece.length > left) this.#append(piece, left);
      left -= Math.min(left, piece.length);
    }
  }

  /** The object that follows at once, or undefined when there are inline bytes or nothing. */
  takeObject(): ObjectId | undefined {
    if (this.start < this.end) return undefined;
    if (this.#object === undefined) {
      const piece = this.#nextInline();
      if (piece !== undefined || this.#object === undefined) return undefined;
    }
    const object = this.#object;
    this.#object = undefined;
    return object;
  }

  #nextInline(): Uint8Array | undefined {
    while (this.#object === undefined && !this.#ended) {
      const next = this.#chunks.next();
      if (next.done === true) this.#ended = true;
      else if ("object" in next.value) this.#object = next.value.object;
      else if (next.value.inline.length > 0) return next.value.inline;
    }
    return undefined;
  }

  /** Adds the piece from `from` on. An empty buffer is filled from its beginning, which keeps headers aligned. */
  #append(piece: Uint8Array, from: number): void {
    if (this.start === this.end) {
      this.start = 0;
      this.end = 0;
    }
    const length = piece.length - from;
    if (this.end + length > this.buffer.length) {
      const kept = this.end - this.start;
      const target = kept + length > this.buffer.length ? new Uint8Array(2 * (kept + length)) : this.buffer;
      if (target === this.buffer) target.copyWithin(0, this.start, this.end);
      else target.set(this.buffer.subarray(this.start, this.end));
      this.buffer = target;
      this.start = 0;
      this.end = kept;
    }
    this.buffer.set(from === 0 ? piece : piece.subarray(from), this.end);
    this.end += length;
  }
}
