import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { ByteReader } from "./byte-reader.ts";
import { padNumber, readMpi } from "./mpi.ts";

/** Families of public keys that signatures can be checked with. */
export type SigningAlgorithm = "rsa" | "ecdsa" | "eddsa-legacy" | "ed25519";

export interface SigningMaterial {
  readonly algorithm: SigningAlgorithm;
  readonly key: KeyObject;
  /** Bytes of each of the two numbers of an ECDSA signature; 0 for others. */
  readonly numberSize: number;
}

/** A public key or subkey of version 4. */
export interface KeyPacket {
  /** The packet's body, of which the fingerprint and signatures are made. */
  readonly body: Uint8Array;
  /** 40 hexadecimal digits, lower case. */
  readonly fingerprint: string;
  /** The last 16 digits of the fingerprint. */
  readonly keyId: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** Number of the algorithm (RFC 9580, 9.1). */
  readonly algorithmId: number;
  /** Undefined when the key can't sign, or not with an algorithm that we know. */
  readonly material: SigningMaterial | undefined;
}

const RSA = 1;
const RSA_SIGN_ONLY = 3;
const ECDSA = 19;
const EDDSA_LEGACY = 22;
const ED25519 = 27;

/** Shorter keys can be factored. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 16_384;

/** Curves by object identifier. */
const ECDSA_CURVES: ReadonlyMap<string, { readonly crv: string; readonly size: number }> = new Map([
  ["2a8648ce3d030107", { crv: "P-256", size: 32 }],
  ["2b81040022", { crv: "P-384", size: 48 }],
  ["2b81040023", { crv: "P-521", size: 66 }],
]);
const ED25519_CURVE = "2b06010401da470f01";

/**
 * @returns undefined for keys of other versions than 4, which nothing here can use.
 * @throws CfsError Invalid
 */
export function parseKeyPacket(body: Uint8Array): KeyPacket | undefined {
  const reader = new ByteReader(body, "public key packet");
  if (reader.u8() !== 4) return undefined;
  const created = reader.u32();
  const algorithmId = reader.u8();
  const fingerprint = createHash("sha1").update(keyPrefix(body)).update(body).digest("hex");
  return {
    body,
    fingerprint,
    keyId: fingerprint.slice(-16),
    created,
    algorithmId,
    material: readMaterial(reader, algorithmId),
  };
}

/** What stands before a key in everything that is hashed: an old packet header with a length of two bytes. */
export function keyPrefix(body: Uint8Array): Uint8Array {
  return new Uint8Array([0x99, body.length >> 8, body.length & 0xff]);
}

function readMaterial(reader: ByteReader, algorithmId: number): SigningMaterial | undefined {
  if (algorithmId === RSA || algorithmId === RSA_SIGN_ONLY) return readRsa(reader);
  if (algorithmId === ECDSA) return readEcdsa(reader);
  if (algorithmId === EDDSA_LEGACY) return readEddsaLegacy(reader);
  if (algorithmId === ED25519) return readEd25519(reader);
  return undefined;
}

function readRsa(reader: ByteReader): SigningMaterial | undefined {
  const n = readMpi(reader);
  const e = readMpi(reader);
  reader.end();
  const bits = n.length * 8;
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS || e.length === 0 || e.length > 4) return undefined;
  return material("rsa", { kty: "RSA", n: base64url(n), e: base64url(e) });
}

function readEcdsa(reader: ByteReader): SigningMaterial | undefined {
  const curve = ECDSA_CURVES.get(readCurve(reader));
  const point = readMpi(reader);
  reader.end();
  if (curve === undefined || point.length !== 1 + 2 * curve.size || point[0] !== 4) return undefined;
  const x = base64url(point.subarray(1, 1 + curve.size));
  const y = base64url(point.subarray(1 + curve.size));
  return material("ecdsa", { kty: "EC", crv: curve.crv, x, y }, curve.size);
}

function readEddsaLegacy(reader: ByteReader): SigningMaterial | undefined {
  const curve = readCurve(reader);
  const point = readMpi(reader);
  reader.end();
  if (curve !== ED25519_CURVE || point.length !== 33 || point[0] !== 0x40) return undefined;
  return material("eddsa-legacy", { kty: "OKP", crv: "Ed25519", x: base64url(point.subarray(1)) });
}

function readEd25519(reader: ByteReader): SigningMaterial | undefined {
  const point = reader.take(32);
  reader.end();
  return material("ed25519", { kty: "OKP", crv: "Ed25519", x: base64url(point) });
}

function readCurve(reader: ByteReader): string {
  return Buffer.from(reader.take(reader.u8())).toString("hex");
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

function material(
  algorithm: SigningAlgorithm,
  key: Readonly<Record<string, string>>,
  numberSize = 0,
): SigningMaterial | undefined {
  try {
    return { algorithm, key: createPublicKey({ key: { ...key }, format: "jwk" }), numberSize };
  } catch {
    // a point that is not on its curve
    return undefined;
  }
}

/** Numbers of an ECDSA or EdDSA signature side by side, as `node:crypto` takes them; undefined when one is too long. */
export function joinNumbers(r: Uint8Array, s: Uint8Array, size: number): Uint8Array | undefined {
  const a = padNumber(r, size);
  const b = padNumber(s, size);
  return a === undefined || b === undefined ? undefined : new Uint8Array(Buffer.concat([a, b]));
}
