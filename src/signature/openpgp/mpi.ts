import type { ByteReader } from "./byte-reader.ts";

/** Larger numbers than any key has that we can use. */
const MAX_BITS = 16_384;

/** A multiprecision integer (RFC 9580, 3.2): its length in bits, then its bytes without leading zeros. */
export function readMpi(reader: ByteReader): Uint8Array {
  const bits = reader.u16();
  if (bits > MAX_BITS) throw reader.malformed(`has a number of ${bits} bits`);
  const bytes = reader.take(Math.ceil(bits / 8));
  const found = bytes.length === 0 ? 0 : (bytes.length - 1) * 8 + (32 - Math.clz32(bytes[0]!));
  if (found !== bits) throw reader.malformed("has a number with a wrong length");
  return bytes;
}

/** The number with zeros in front, or undefined when it is longer. */
export function padNumber(bytes: Uint8Array, length: number): Uint8Array | undefined {
  if (bytes.length > length) return undefined;
  const padded = new Uint8Array(length);
  padded.set(bytes, length - bytes.length);
  return padded;
}
