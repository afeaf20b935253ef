import { CfsError } from "../../errors.ts";

/** Sizes and offsets of real deltas are far below; beyond it numbers are not exact. */
const MAX_BYTES = 7;
/** A 64-bit number takes no more. */
const MAX_ENCODED = 10;

/** Reads the operations of a part: one byte each, followed by numbers of seven bits a byte, the lowest ones first. */
export class OperationReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The next operation. The caller has made sure that there is one. */
  code(): number {
    return this.#bytes[this.#at++]!;
  }

  /** @throws CfsError Corrupt */
  number(): number {
    let value = 0;
    for (let i = 0; i < MAX_ENCODED; i++) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new CfsError("Corrupt", "varint extends past end of data");
      this.#at++;
      const bits = byte & 0x7f;
      if (i >= MAX_BYTES && bits !== 0) throw new CfsError("Corrupt", "a number is too large for a size");
      value += bits * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw new CfsError("Corrupt", "varint too long");
  }
}

/** Appends a number in the same form. @param value a safe integer, not negative. */
export function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}
