import type { ObjectId } from "../../verity/digest.ts";

/** A growing list of digests as bytes: a third of the memory of their names, and cheap to hand to another thread. */
export class DigestList {
  #buffer = Buffer.alloc(64 * 1024);
  #length = 0;

  push(id: ObjectId): void {
    const size = id.length / 2;
    if (this.#length + size > this.#buffer.length) {
      const larger = Buffer.alloc(this.#buffer.length * 2);
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#length += this.#buffer.hexWrite(id, this.#length);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer.subarray(0, this.#length));
  }
}
