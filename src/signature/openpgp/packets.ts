import { ByteReader } from "./byte-reader.ts";

/** Packet types (RFC 9580, 5). */
export const SIGNATURE = 2;
export const ONE_PASS_SIGNATURE = 4;
export const SECRET_KEY = 5;
export const PUBLIC_KEY = 6;
export const SECRET_SUBKEY = 7;
export const COMPRESSED_DATA = 8;
const ENCRYPTED_DATA = 9;
export const MARKER = 10;
export const LITERAL_DATA = 11;
export const TRUST = 12;
export const USER_ID = 13;
export const PUBLIC_SUBKEY = 14;
export const USER_ATTRIBUTE = 17;
export const PADDING = 21;

export interface Packet {
  readonly type: number;
  readonly body: Uint8Array;
}

/** Only these may have lengths that are not known in advance. */
const STREAMED: ReadonlySet<number> = new Set([COMPRESSED_DATA, ENCRYPTED_DATA, LITERAL_DATA]);
const MIN_FIRST_PART = 512;

/**
 * Splits bytes into packets with headers of either format.
 * @param max most packets that are accepted.
 * @throws CfsError Invalid
 */
export function readPackets(bytes: Uint8Array, what: string, max: number): Packet[] {
  const reader = new ByteReader(bytes, what);
  const packets: Packet[] = [];
  while (reader.remaining > 0) {
    if (packets.length === max) throw reader.malformed(`has more than ${max} packets`);
    packets.push(readPacket(reader));
  }
  return packets;
}

function readPacket(reader: ByteReader): Packet {
  const header = reader.u8();
  if ((header & 0x80) === 0) throw reader.malformed("has no packet header where one has to be");
  if ((header & 0x40) !== 0) {
    const type = header & 0x3f;
    return { type, body: readBody(reader, type) };
  }
  const type = (header >> 2) & 0x0f;
  return { type, body: readOldBody(reader, type, header & 3) };
}

function readOldBody(reader: ByteReader, type: number, lengthType: number): Uint8Array {
  if (lengthType === 0) return reader.take(reader.u8());
  if (lengthType === 1) return reader.take(reader.u16());
  if (lengthType === 2) return reader.take(reader.u32());
  if (!STREAMED.has(type)) throw reader.malformed(`has a packet of type ${type} without length`);
  return reader.rest();
}

function readBody(reader: ByteReader, type: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (;;) {
    const first = reader.u8();
    if (first < 224 || first === 255) {
      const last = reader.take(readLength(reader, first));
      if (parts.length === 0) return last;
      return new Uint8Array(Buffer.concat([...parts, last]));
    }
    const length = 2 ** (first & 0x1f);
    if (!STREAMED.has(type)) throw reader.malformed(`has a packet of type ${type} in parts`);
    if (parts.length === 0 && length < MIN_FIRST_PART)
      throw reader.malformed("has a first part that is short");
    parts.push(reader.take(length));
  }
}

/** Rest of a length of one, two or five bytes. */
export function readLength(reader: ByteReader, first: number): number {
  if (first < 192) return first;
  if (first < 255) return (first - 192) * 256 + reader.u8() + 192;
  return reader.u32();
}
