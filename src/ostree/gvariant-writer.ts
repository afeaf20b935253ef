import type { Value, Variant } from "./gvariant.ts";
import { alignUp, framedMembers, type GType, gtype, offsetWidth } from "./gvariant-type.ts";

/** The serialised form of a value, little-endian. @throws TypeError when it does not fit the type. */
export function serialise(type: GType, value: Value): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  writer.write(type, value);
  return writer.finish();
}

class Writer {
  #buffer = Buffer.alloc(256);
  #length = 0;

  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer.subarray(0, this.#length));
  }

  write(type: GType, value: Value): void {
    switch (type.kind) {
      case "y":
        this.#reserve(1)[this.#length++] = value as number;
        return;
      case "b":
        this.#reserve(1)[this.#length++] = value === true ? 1 : 0;
        return;
      case "n":
        this.#length = this.#reserve(2).writeInt16LE(value as number, this.#length);
        return;
      case "q":
        this.#length = this.#reserve(2).writeUInt16LE(value as number, this.#length);
        return;
      case "i":
      case "h":
        this.#length = this.#reserve(4).writeInt32LE(value as number, this.#length);
        return;
      case "u":
        this.#length = this.#reserve(4).writeUInt32LE(value as number, this.#length);
        return;
      case "x":
        this.#length = this.#reserve(8).writeBigInt64LE(value as bigint, this.#length);
        return;
      case "t":
        this.#length = this.#reserve(8).writeBigUInt64LE(value as bigint, this.#length);
        return;
      case "d":
        this.#length = this.#reserve(8).writeDoubleLE(value as number, this.#length);
        return;
      case "s":
      case "o":
      case "g":
        this.#bytes(Buffer.from(`${value as string}\0`, "utf8"));
        return;
      case "v":
        this.#variant(value as Variant);
        return;
      case "m":
        if (value === null) return;
        this.write(type.items[0]!, value);
        if (type.items[0]!.fixedSize === 0) this.#bytes(NUL);
        return;
      case "a":
        if (value instanceof Uint8Array) this.#bytes(value);
        else this.#array(type.items[0]!, value as readonly Value[]);
        return;
      default:
        this.#tuple(type, value as readonly Value[]);
    }
  }

  #variant({ signature, value }: Variant): void {
    this.write(gtype(signature), value);
    this.#bytes(Buffer.from(`\0${signature}`, "latin1"));
  }

  #array(element: GType, values: readonly Value[]): void {
    const start = this.#length;
    const ends: number[] = [];
    for (const value of values) {
      this.#pad(element.alignment);
      this.write(element, value);
      ends.push(this.#length - start);
    }
    if (element.fixedSize === 0) this.#offsets(start, ends);
  }

  #tuple(type: GType, values: readonly Value[]): void {
    const { items } = type;
    if (values.length !== items.length) throw new TypeError(`${type.signature} has ${items.length} members`);
    if (items.length === 0) this.#bytes(NUL);
    const start = this.#length;
    const ends: number[] = [];
    const framed = framedMembers(type);
    for (const [i, item] of items.entries()) {
      this.#pad(item.alignment);
      this.write(item, values[i]!);
      if (item.fixedSize === 0 && ends.length < framed) ends.push(this.#length - start);
    }
    if (type.fixedSize !== 0) this.#pad(type.alignment);
    this.#offsets(start, ends.reverse());
  }

  #offsets(start: number, ends: readonly number[]): void {
    const width = offsetWidth(this.#length - start, ends.length);
    if (width === 8) throw new TypeError("4 GiB are too many for a GVariant");
    this.#reserve(ends.length * width);
    for (const end of ends) this.#length = this.#buffer.writeUIntLE(end, this.#length, width);
  }

  #pad(alignment: number): void {
    const aligned = alignUp(this.#length, alignment);
    this.#reserve(alignment).fill(0, this.#length, aligned);
    this.#length = aligned;
  }

  #bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length).set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(size: number): Buffer {
    const needed = this.#length + size;
    if (needed > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(needed, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    return this.#buffer;
  }
}

const NUL = Uint8Array.of(0);
