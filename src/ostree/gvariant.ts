import { CfsError } from "../errors.ts";
import { alignUp, framedMembers, type GType, gtype, offsetWidth } from "./gvariant-type.ts";
import { serialise } from "./gvariant-writer.ts";

/**
 * A value of a GVariant, as read and to be written:
 * `y n q i u h d` number, `x t` bigint, `b` boolean, `s o g` text, `ay` bytes, other arrays and tuples an array,
 * a dict entry [key, value], a maybe null or the value, `v` a Variant.
 */
export type Value = boolean | number | bigint | string | Uint8Array | Variant | null | readonly Value[];

/** A value that carries its type. */
export class Variant {
  readonly signature: string;
  readonly value: Value;
  #bytes: Uint8Array | undefined;

  /** @param bytes the serialised value, when it is known already. */
  constructor(signature: string, value: Value, bytes?: Uint8Array) {
    this.signature = signature;
    this.value = value;
    this.#bytes = bytes;
  }

  /** The serialised value, without the type. */
  get bytes(): Uint8Array {
    this.#bytes ??= serialise(gtype(this.signature), this.value);
    return this.#bytes;
  }
}

/** Containers and variants in one another. */
const MAX_DEPTH = 128;

/**
 * Reads a serialised GVariant (GVariant Specification, "Serialisation Format"), little-endian. Only normal form is
 * accepted: what has another reading elsewhere is refused.
 * @param bytes byte arrays in the result are views of it.
 * @throws CfsError Corrupt.
 */
export function readGVariant(signature: string, bytes: Uint8Array): Value {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return new Reader(buffer).read(gtype(signature), 0, bytes.length, 0);
}

/** @throws TypeError when the value does not fit the type. */
export function writeGVariant(signature: string, value: Value): Uint8Array<ArrayBuffer> {
  return serialise(gtype(signature), value);
}

function notNormal(what: string): CfsError {
  return new CfsError("Corrupt", `not a GVariant in normal form: ${what}`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Reader {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(type: GType, start: number, end: number, depth: number): Value {
    if (depth > MAX_DEPTH) throw notNormal("it is nested too deeply");
    if (type.fixedSize !== 0 && end - start !== type.fixedSize) throw notNormal("a value of wrong size");
    const bytes = this.#bytes;
    switch (type.kind) {
      case "y":
        return bytes[start]!;
      case "b":
        if (bytes[start]! > 1) throw notNormal("a boolean that is neither 0 nor 1");
        return bytes[start] === 1;
      case "n":
        return bytes.readInt16LE(start);
      case "q":
        return bytes.readUInt16LE(start);
      case "i":
      case "h":
        return bytes.readInt32LE(start);
      case "u":
        return bytes.readUInt32LE(start);
      case "x":
        return bytes.readBigInt64LE(start);
      case "t":
        return bytes.readBigUInt64LE(start);
      case "d":
        return bytes.readDoubleLE(start);
      case "s":
      case "o":
      case "g":
        return this.#string(start, end);
      case "v":
        return this.#variant(start, end, depth);
      case "m":
        return this.#maybe(type.items[0]!, start, end, depth);
      case "a":
        return this.#array(type.items[0]!, start, end, depth);
      default:
        return this.#tuple(type, start, end, depth);
    }
  }

  #string(start: number, end: number): string {
    const last = end - 1;
    if (last < start || this.#bytes[last] !== 0) throw notNormal("a string without its end");
    const text = this.#bytes.latin1Slice(start, last);
    if (text.includes("\0")) throw notNormal("a string with a NUL inside");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters of one byte in UTF-8
    if (/^[\x01-\x7f]*$/.test(text)) return text;
    try {
      return utf8.decode(this.#bytes.subarray(start, last));
    } catch {
      throw notNormal("a string that is not UTF-8");
    }
  }

  #variant(start: number, end: number, depth: number): Variant {
    const separator = this.#bytes.subarray(start, end).lastIndexOf(0);
    if (separator < 0) throw notNormal("a variant without its type");
    const valueEnd = start + separator;
    const signature = this.#bytes.latin1Slice(valueEnd + 1, end);
    const value = this.read(gtype(signature), start, valueEnd, depth + 1);
    return new Variant(signature, value, this.#bytes.subarray(start, valueEnd));
  }

  #maybe(element: GType, start: number, end: number, depth: number): Value {
    if (start === end) return null;
    if (element.fixedSize !== 0) return this.read(element, start, end, depth + 1);
    if (this.#bytes[end - 1] !== 0) throw notNormal("a maybe without its end");
    return this.read(element, start, end - 1, depth + 1);
  }

  #array(element: GType, start: number, end: number, depth: number): Value {
    if (element.kind === "y") return this.#bytes.subarray(start, end);
    const values: Value[] = [];
    const size = end - start;
    if (element.fixedSize !== 0) {
      if (size % element.fixedSize !== 0) throw notNormal("an array of wrong size");
      for (let at = start; at < end; at += element.fixedSize)
        values.push(this.read(element, at, at + element.fixedSize, depth + 1));
      return values;
    }
    if (size === 0) return values;
    const width = this.#width(size);
    const bodySize = this.#offset(end - width, width);
    const table = size - bodySize;
    if (table < width || table % width !== 0 || offsetWidth(bodySize, table / width) !== width)
      throw notNormal("wrong framing of an array");
    let position = start;
    for (let at = start + bodySize; at < end; at += width) {
      const from = this.#padding(position, element.alignment, end);
      const to = start + this.#offset(at, width);
      if (to < from || to > start + bodySize) throw notNormal("wrong framing of an array");
      values.push(this.read(element, from, to, depth + 1));
      position = to;
    }
    return values;
  }

  #tuple(type: GType, start: number, end: number, depth: number): Value {
    const { items } = type;
    const framed = framedMembers(type);
    const width = framed === 0 ? 0 : this.#width(end - start);
    const bodyEnd = end - framed * width;
    if (framed > 0 && (bodyEnd < start || offsetWidth(bodyEnd - start, framed) !== width))
      throw notNormal("wrong framing of a tuple");
    const values: Value[] = [];
    let position = start;
    let offsetAt = end;
    for (const [i, item] of items.entries()) {
      const from = this.#padding(position, item.alignment, bodyEnd);
      let to: number;
      if (item.fixedSize !== 0) to = from + item.fixedSize;
      else if (i === items.length - 1) to = bodyEnd;
      else {
        offsetAt -= width;
        to = start + this.#offset(offsetAt, width);
      }
      if (to < from || to > bodyEnd) throw notNormal("wrong framing of a tuple");
      values.push(this.read(item, from, to, depth + 1));
      position = to;
    }
    if (type.fixedSize !== 0) {
      for (; position < end; position++)
        if (this.#bytes[position] !== 0) throw notNormal("padding that is not zero");
    }
    if (position !== bodyEnd) throw notNormal("unused bytes in a tuple");
    return values;
  }

  /** Skips to the next aligned position. */
  #padding(position: number, alignment: number, end: number): number {
    const aligned = alignUp(position, alignment);
    if (aligned > end) throw notNormal("it ends too early");
    for (let at = position; at < aligned; at++)
      if (this.#bytes[at] !== 0) throw notNormal("padding that is not zero");
    return aligned;
  }

  #width(size: number): number {
    if (size === 0) throw notNormal("it ends too early");
    return offsetWidth(size, 0);
  }

  #offset(at: number, width: number): number {
    switch (width) {
      case 1:
        return this.#bytes[at]!;
      case 2:
        return this.#bytes.readUInt16LE(at);
      case 4:
        return this.#bytes.readUInt32LE(at);
    }
    throw notNormal("4 GiB are too many");
  }
}
