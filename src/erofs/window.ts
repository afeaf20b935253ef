import { BLOCK_SIZE } from "./format.ts";

/** Above what one inode takes: 64 bytes, xattrs of up to 256 KiB and a block. */
const ROOM = 1024 * 1024;
/** Above what is left free between two inodes. */
const GAP = 2 * BLOCK_SIZE;

/**
 * The part of an image that is being written. An image is written from its beginning to its end and handed out in pieces,
 * so that no more than one of them is in memory.
 */
export class ImageWindow {
  readonly bytes: Buffer<ArrayBuffer>;
  /** The same memory. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly #take: (piece: Uint8Array<ArrayBuffer>) => void;
  /** Where in the image the window begins. */
  #start = 0;

  /** @param take gets the pieces in their order, all multiples of 4096 bytes; they are overwritten when it returns. */
  constructor(take: (piece: Uint8Array<ArrayBuffer>) => void) {
    this.bytes = Buffer.from(new ArrayBuffer(ROOM + GAP));
    this.words = new Uint32Array(this.bytes.buffer);
    this.#take = take;
  }

  /**
   * Where to write `size` bytes that belong at `offset` in the image. All there is zero.
   * @param offset not before the end of what was written until now.
   */
  at(offset: number, size: number): number {
    if (offset + size - this.#start > ROOM) this.#handOut(offset);
    return offset - this.#start;
  }

  /** Hands out the rest. @param size of the image; a multiple of 4096. */
  finish(size: number): void {
    this.#handOut(size);
  }

  #handOut(end: number): void {
    const written = end - this.#start;
    const complete = written - (written % BLOCK_SIZE);
    this.#take(this.bytes.subarray(0, complete));
    this.bytes.copyWithin(0, complete, written);
    this.bytes.fill(0, written - complete, written);
    this.#start += complete;
  }
}
