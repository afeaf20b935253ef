import { describe, expect, test } from "bun:test";
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { CfsError, describeError } from "../../src/errors.ts";
import { readKeyring } from "../../src/signature/openpgp/keyring.ts";
import { verifyDetached } from "../../src/signature/openpgp/verify.ts";

/** Keys and signatures that GnuPG would not make, written packet by packet (RFC 9580). */

const CREATED = 1717243200;
const NOW = new Date("2024-07-15T00:00:00Z");
const DATA = Buffer.from("data");

const u16 = (n: number) => Buffer.from([n >> 8, n & 255]);
const u32 = (n: number) => Buffer.concat([u16(n >>> 16), u16(n & 0xffff)]);
const packet = (type: number, body: Uint8Array) =>
  Buffer.concat([Buffer.from([0xc0 | type, 255]), u32(body.length), body]);
const subpacket = (type: number, content: Uint8Array) =>
  Buffer.concat([Buffer.from([255]), u32(content.length + 1), Buffer.from([type]), content]);

interface Key {
  readonly body: Buffer;
  readonly secret: KeyObject;
  readonly fingerprint: Buffer;
}

/** Ed25519 as RFC 9580 has it (algorithm 27), in a key of version 4. */
function newKey(created = CREATED): Key {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const point = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url");
  const body = Buffer.concat([Buffer.from([4]), u32(created), Buffer.from([27]), point]);
  return { body, secret: privateKey, fingerprint: createHash("sha1").update(hashed(body)).digest() };
}
const hashed = (body: Buffer) => Buffer.concat([Buffer.from([0x99]), u16(body.length), body]);

interface SignatureOptions {
  readonly flags?: number;
  readonly created?: number;
  readonly more?: readonly Buffer[];
  readonly hashId?: number;
}

function signature(
  signer: Key,
  type: number,
  content: readonly Uint8Array[],
  { flags, created = CREATED, more = [], hashId = 10 }: SignatureOptions = {},
): Buffer {
  const area = Buffer.concat([
    subpacket(2, u32(created)),
    subpacket(33, Buffer.concat([Buffer.from([4]), signer.fingerprint])),
    ...(flags === undefined ? [] : [subpacket(27, Buffer.from([flags]))]),
    ...more,
  ]);
  const head = Buffer.concat([Buffer.from([4, type, 27, hashId]), u16(area.length), area]);
  const digest = createHash("sha512")
    .update(Buffer.concat([...content, head, Buffer.from([4, 255]), u32(head.length)]))
    .digest();
  return Buffer.concat([head, u16(0), digest.subarray(0, 2), sign(null, digest, signer.secret)]);
}

const USER = Buffer.from("Somebody");
const userHash = Buffer.concat([Buffer.from([0xb4]), u32(USER.length), USER]);
const certification = (key: Key, options: SignatureOptions = { flags: 3 }) =>
  packet(2, signature(key, 0x13, [hashed(key.body), userHash], options));
const primary = (key: Key, ...rest: Buffer[]) =>
  Buffer.concat([packet(6, key.body), packet(13, USER), ...rest]);
const back = (subkey: Key, key: Key) =>
  subpacket(32, signature(subkey, 0x19, [hashed(key.body), hashed(subkey.body)]));
const binding = (key: Key, subkey: Key, options: SignatureOptions) =>
  Buffer.concat([
    packet(14, subkey.body),
    packet(2, signature(key, 0x18, [hashed(key.body), hashed(subkey.body)], options)),
  ]);

function answer(keyring: Buffer, signer: Key, options: SignatureOptions = {}, type = 0): string {
  const detached = packet(2, signature(signer, type, [DATA], { created: CREATED + 60, ...options }));
  try {
    const { userIds } = verifyDetached(readKeyring(keyring), [DATA], detached, NOW);
    return `good: ${userIds}`;
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return describeError(error);
  }
}

describe("OpenPGP keys that are out of the ordinary", () => {
  const key = newKey();
  const subkey = newKey();
  const stranger = newKey();
  const bound = (options: SignatureOptions) =>
    primary(key, certification(key), binding(key, subkey, options));
  const expires = (seconds: number) => subpacket(9, u32(seconds));

  test.each<[string, Buffer, Key, string]>([
    ["Ed25519 by RFC 9580", primary(key, certification(key)), key, "good: Somebody"],
    ["no signature of its own", primary(key), key, "has no valid signature of its own"],
    [
      "a user ID that somebody else certifies",
      primary(key, certification(stranger)),
      key,
      "has no valid signature",
    ],
    [
      "only a direct signature",
      Buffer.concat([packet(6, key.body), packet(2, signature(key, 0x1f, [hashed(key.body)]))]),
      key,
      "good: ",
    ],
    ["flags that forbid to sign", primary(key, certification(key, { flags: 1 })), key, "may not sign data"],
    [
      "a later signature that forbids it",
      primary(key, certification(key), certification(key, { flags: 1, created: CREATED + 5 })),
      key,
      "may not sign data",
    ],
    ["a key that has expired", primary(key, certification(key, { more: [expires(60)] })), key, "has expired"],
    [
      "a key that will expire",
      primary(key, certification(key, { more: [expires(1e8)] })),
      key,
      "good: Somebody",
    ],
    [
      "a key whose life was prolonged",
      primary(key, certification(key, { more: [expires(60)] }), certification(key, { created: CREATED + 5 })),
      key,
      "good: Somebody",
    ],
    [
      "a revoked user ID",
      primary(key, certification(key), packet(2, signature(key, 0x30, [hashed(key.body), userHash]))),
      key,
      "has no valid signature",
    ],
    [
      "a revoked key",
      Buffer.concat([
        packet(6, key.body),
        packet(2, signature(key, 0x20, [hashed(key.body)])),
        packet(13, USER),
        certification(key),
      ]),
      key,
      "is revoked",
    ],
    [
      "a revocation by somebody else",
      Buffer.concat([
        packet(6, key.body),
        packet(2, signature(stranger, 0x20, [hashed(key.body)])),
        packet(13, USER),
        certification(key),
      ]),
      key,
      "good: Somebody",
    ],
    [
      "a revocation that can't be checked",
      Buffer.concat([
        packet(6, key.body),
        packet(2, signature(key, 0x20, [hashed(key.body)], { hashId: 11 })),
        packet(13, USER),
        certification(key),
      ]),
      key,
      "is revoked",
    ],
    [
      "a critical notation",
      primary(key, certification(key, { more: [subpacket(0x80 | 20, Buffer.alloc(8))] })),
      key,
      "has no valid signature",
    ],
    [
      "a notation",
      primary(key, certification(key, { more: [subpacket(20, Buffer.alloc(8))] })),
      key,
      "good: Somebody",
    ],
    ["a subkey", bound({ flags: 2, more: [back(subkey, key)] }), subkey, "good: Somebody"],
    ["a subkey that has not agreed", bound({ flags: 2 }), subkey, "has not signed that it belongs"],
    [
      "a subkey that agreed to another key",
      bound({ flags: 2, more: [back(subkey, stranger)] }),
      subkey,
      "has not signed that it belongs",
    ],
    ["a subkey to encrypt", bound({ flags: 12, more: [back(subkey, key)] }), subkey, "may not sign data"],
    [
      "a subkey that has expired",
      bound({ flags: 2, more: [back(subkey, key), expires(60)] }),
      subkey,
      "has expired",
    ],
    [
      "a subkey without binding",
      primary(key, certification(key), packet(14, subkey.body)),
      subkey,
      "is not bound",
    ],
    [
      "a subkey that somebody else binds",
      primary(key, certification(key), binding(stranger, subkey, { flags: 2 })),
      subkey,
      "is not bound",
    ],
    [
      "a subkey of an expired key",
      primary(
        key,
        certification(key, { more: [expires(60)] }),
        binding(key, subkey, { flags: 2, more: [back(subkey, key)] }),
      ),
      subkey,
      "has expired",
    ],
    [
      "a revoked subkey",
      Buffer.concat([
        bound({ flags: 2, more: [back(subkey, key)] }),
        packet(2, signature(key, 0x28, [hashed(key.body), hashed(subkey.body)])),
      ]),
      subkey,
      "is revoked",
    ],
  ])("%s", (_, keyring, signer, expected) => {
    expect(answer(keyring, signer)).toContain(expected);
  });

  const keyring = primary(key, certification(key));
  test.each<[string, SignatureOptions, number, string]>([
    ["older than its key", { created: CREATED - 1 }, 0, "is older than its key"],
    [
      "with a critical part that is not known",
      { more: [subpacket(0x80 | 99, Buffer.alloc(1))] },
      0,
      "not understood",
    ],
    ["that has expired", { more: [subpacket(3, u32(60))] }, 0, "has expired"],
    ["of another type", {}, 0x01, "is not of a document"],
    ["of a certificate", {}, 0x13, "is not of a document"],
  ])("a signature %s", (_, options, type, expected) => {
    expect(answer(keyring, key, options, type)).toContain(expected);
  });
});
