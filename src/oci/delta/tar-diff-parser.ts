import { type ByteString, display, toText } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { MAX_ADD_DATA, MAX_NAME, Op, type OpCode, type TarDiffVersion } from "./format.ts";

/** Bytes of the longest number. */
const MAX_VARINT = 10;
/** Where the tenth byte of a number is, only the lowest bit fits into 64. */
const MAX_LAST_DIGIT = 1;

/**
 * An operation. After `Data`, `AddData` and `ZstdDict` come `size` bytes that are not part of this; to `Copy` it is how
 * many bytes are taken, to `Seek` the new position.
 */
export type TarDiffOperation =
  | { readonly op: typeof Op.Open; readonly name: ByteString }
  | { readonly op: Exclude<OpCode, typeof Op.Open>; readonly size: number };

/** What the next bytes of the operations are. */
export type TarDiffStep =
  /** More bytes are needed to tell: at most some 4 KiB in all. */
  | { readonly kind: "more" }
  /** An operation, whose `length` bytes are to be passed over, and its payload after that. */
  | { readonly kind: "operation"; readonly length: number; readonly operation: TarDiffOperation }
  | { readonly kind: "end" };

const MORE: TarDiffStep = { kind: "more" };
const END: TarDiffStep = { kind: "end" };

/**
 * Finds the operations of a tar-diff, once it is decompressed: it is shown the next bytes and says what they are. The
 * caller moves on, over the payloads too. Sizes beyond 2^53 are not exact; no file and no payload has them.
 */
export class TarDiffParser {
  readonly #version: TarDiffVersion;
  #hasFile = false;

  constructor(version: TarDiffVersion) {
    this.#version = version;
  }

  /**
   * Looks at bytes [start, end) of `bytes`.
   * @param atEnd nothing follows after `end`.
   * @throws CfsError Corrupt
   */
  step(bytes: Uint8Array, start: number, end: number, atEnd: boolean): TarDiffStep {
    if (start === end) return atEnd ? END : MORE;
    const op = this.#operation(bytes[start]!);
    let at = start + 1;
    let size = 0;
    for (let scale = 1, digits = 1; ; scale *= 128, digits++) {
      if (at === end) return moreOf(atEnd);
      const digit = bytes[at++]!;
      if (digits === MAX_VARINT && digit > MAX_LAST_DIGIT) throw corrupt("a number has more than 64 bits");
      size += (digit & 0x7f) * scale;
      if (digit < 0x80) break;
    }
    if (op === Op.Open) {
      if (size > MAX_NAME)
        throw corrupt(`the name of a file has ${size} bytes; at most ${MAX_NAME} are read`);
      if (end - at < size) return moreOf(atEnd);
      this.#hasFile = true;
      return {
        kind: "operation",
        length: at + size - start,
        operation: { op, name: nameIn(bytes.subarray(at, at + size)) },
      };
    }
    if (op === Op.AddData && size > MAX_ADD_DATA)
      throw corrupt(`an addition has ${size} bytes; at most ${MAX_ADD_DATA} are read`);
    return { kind: "operation", length: at - start, operation: { op, size } };
  }

  #operation(code: number): OpCode {
    if (code > Op.ZstdDict) throw corrupt(`unknown operation ${code}`);
    const op = code as OpCode;
    if (op === Op.ZstdDict && this.#version === 1) throw corrupt("an operation of version 2 in version 1");
    if (op !== Op.Data && op !== Op.Open && !this.#hasFile)
      throw corrupt("an operation needs a file before one is named");
    return op;
  }
}

function moreOf(atEnd: boolean): TarDiffStep {
  if (atEnd) throw corrupt("it ends inside an operation");
  return MORE;
}

function nameIn(bytes: Uint8Array): ByteString {
  const name = Buffer.from(bytes).latin1Slice();
  if (toText(name) === undefined) throw corrupt(`the name ${display(name)} is not UTF-8`);
  return name;
}

function corrupt(message: string): CfsError {
  return new CfsError("Corrupt", message);
}
