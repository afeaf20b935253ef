import { ByteReader } from "./byte-reader.ts";
import { readMpi } from "./mpi.ts";
import { readLength } from "./packets.ts";

/** Signature types (RFC 9580, 5.2.1). */
export const BINARY_DOCUMENT = 0x00;
export const FIRST_CERTIFICATION = 0x10;
export const LAST_CERTIFICATION = 0x13;
export const SUBKEY_BINDING = 0x18;
export const PRIMARY_KEY_BINDING = 0x19;
export const DIRECT_KEY = 0x1f;
export const KEY_REVOCATION = 0x20;
export const SUBKEY_REVOCATION = 0x28;
export const CERTIFICATION_REVOCATION = 0x30;

/** Key flag (RFC 9580, 5.2.3.29): the key may sign data. */
export const MAY_SIGN = 0x02;

/** A signature of version 4. */
export interface SignaturePacket {
  readonly type: number;
  readonly algorithmId: number;
  readonly hashId: number;
  /** What is hashed after the data: the packet up to the end of its hashed part, and its length. */
  readonly trailer: Uint8Array;
  /** First two bytes of the hash. */
  readonly hashStart: Uint8Array;
  /** The signature itself, as its algorithm has it. */
  readonly numbers: Uint8Array;
  /** Seconds since 1970. */
  readonly created: number;
  /** Seconds after creation; 0 for never. */
  readonly expiresAfter: number;
  /** Seconds after the creation of the key that it speaks of; 0 for never. */
  readonly keyExpiresAfter: number;
  readonly keyFlags: number | undefined;
  readonly issuerKeyId: string | undefined;
  readonly issuerFingerprint: string | undefined;
  /** Bodies of the signatures in it. */
  readonly embedded: readonly Uint8Array[];
  /** Something in it that must be understood is not. */
  readonly hasUnknownCritical: boolean;
}

const CREATION_TIME = 2;
const EXPIRATION_TIME = 3;
const KEY_EXPIRATION_TIME = 9;
const ISSUER_KEY_ID = 16;
const KEY_FLAGS = 27;
const EMBEDDED_SIGNATURE = 32;
const ISSUER_FINGERPRINT = 33;
/**
 * Subpackets that change nothing about whether a signature of data is good, and so may be critical: exportable,
 * trust level, revocable, preferences, revocation keys, primary user ID, policy and key server addresses, reasons.
 */
const HARMLESS: ReadonlySet<number> = new Set([4, 5, 7, 11, 12, 21, 22, 23, 24, 25, 26, 28, 29, 30, 34]);

/**
 * @returns undefined for signatures of other versions than 4.
 * @throws CfsError Invalid
 */
export function parseSignaturePacket(body: Uint8Array): SignaturePacket | undefined {
  const reader = new ByteReader(body, "signature packet");
  if (reader.u8() !== 4) return undefined;
  const type = reader.u8();
  const algorithmId = reader.u8();
  const hashId = reader.u8();
  const fields = new Subpackets();
  fields.read(reader.take(reader.u16()), true);
  const hashed = body.subarray(0, reader.position);
  fields.read(reader.take(reader.u16()), false);
  const hashStart = reader.take(2);
  if (fields.created === undefined) throw reader.malformed("has no time of creation");
  return {
    type,
    algorithmId,
    hashId,
    trailer: withLength(hashed),
    hashStart,
    numbers: reader.rest(),
    created: fields.created,
    expiresAfter: fields.expiresAfter,
    keyExpiresAfter: fields.keyExpiresAfter,
    keyFlags: fields.keyFlags,
    issuerKeyId: fields.issuerKeyId,
    issuerFingerprint: fields.issuerFingerprint,
    embedded: fields.embedded,
    hasUnknownCritical: fields.hasUnknownCritical,
  };
}

function withLength(hashed: Uint8Array): Uint8Array {
  const trailer = new Uint8Array(hashed.length + 6);
  trailer.set(hashed);
  trailer.set([4, 0xff], hashed.length);
  new DataView(trailer.buffer).setUint32(hashed.length + 2, hashed.length);
  return trailer;
}

/** What the subpackets say. Those that are not hashed are only believed where a lie is noticed later. */
class Subpackets {
  created: number | undefined;
  expiresAfter = 0;
  keyExpiresAfter = 0;
  keyFlags: number | undefined;
  issuerKeyId: string | undefined;
  issuerFingerprint: string | undefined;
  readonly embedded: Uint8Array[] = [];
  hasUnknownCritical = false;

  read(area: Uint8Array, isHashed: boolean): void {
    const reader = new ByteReader(area, "signature subpacket");
    while (reader.remaining > 0) {
      const length = readLength(reader, reader.u8());
      if (length === 0) throw reader.malformed("is empty");
      const body = reader.take(length);
      const type = body[0]! & 0x7f;
      const content = new ByteReader(body.subarray(1), "signature subpacket");
      if (this.#readIssuer(type, content)) continue;
      if (!isHashed) continue;
      if (this.#readHashed(type, content)) continue;
      if ((body[0]! & 0x80) !== 0 && !HARMLESS.has(type)) this.hasUnknownCritical = true;
    }
  }

  #readIssuer(type: number, content: ByteReader): boolean {
    if (type === ISSUER_KEY_ID) {
      this.issuerKeyId ??= hex(content.take(8));
    } else if (type === ISSUER_FINGERPRINT) {
      if (content.u8() === 4) this.issuerFingerprint ??= hex(content.take(20));
    } else if (type === EMBEDDED_SIGNATURE) {
      this.embedded.push(content.rest());
    } else return false;
    return true;
  }

  #readHashed(type: number, content: ByteReader): boolean {
    if (type === CREATION_TIME) this.created = content.u32();
    else if (type === EXPIRATION_TIME) this.expiresAfter = content.u32();
    else if (type === KEY_EXPIRATION_TIME) this.keyExpiresAfter = content.u32();
    else if (type === KEY_FLAGS) this.keyFlags = content.remaining === 0 ? 0 : content.u8();
    else return false;
    return true;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** The numbers of a signature. @throws CfsError Invalid */
export function readNumbers(signature: SignaturePacket, count: number): Uint8Array[] {
  const reader = new ByteReader(signature.numbers, "signature packet");
  const numbers = Array.from({ length: count }, () => readMpi(reader));
  reader.end();
  return numbers;
}
