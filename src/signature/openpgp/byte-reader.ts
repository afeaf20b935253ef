import { CfsError } from "../../errors.ts";

/** Takes big-endian fields off the front of bytes. Whatever is not there is an error, never a read elsewhere. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #position = 0;

  /** @param what for messages: "public key packet", … */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#bytes.length - this.#position;
  }

  /** A view, not a copy. @throws CfsError Invalid */
  take(length: number): Uint8Array {
    if (length > this.remaining) throw this.malformed("ends unexpectedly");
    const start = this.#position;
    this.#position += length;
    return this.#bytes.subarray(start, this.#position);
  }

  rest(): Uint8Array {
    return this.take(this.remaining);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    const [a, b] = this.take(2);
    return a! * 0x100 + b!;
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16();
  }

  /** @throws CfsError Invalid unless everything was taken. */
  end(): void {
    if (this.remaining > 0) throw this.malformed(`has ${this.remaining} bytes too many`);
  }

  malformed(problem: string): CfsError {
    return new CfsError("Invalid", `OpenPGP: ${this.#what} ${problem}`);
  }
}
