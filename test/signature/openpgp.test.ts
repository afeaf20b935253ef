import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { CfsError, describeError } from "../../src/errors.ts";
import { joinKeyrings, readKeyring } from "../../src/signature/openpgp/keyring.ts";
import { verifySignedMessage } from "../../src/signature/openpgp/message.ts";
import { checkDetached, verifyDetached } from "../../src/signature/openpgp/verify.ts";
import { PROJECT } from "../support/project.ts";

const FIXTURES = join(PROJECT, "fixtures/signature/openpgp");
const fixture = (name: string) => new Uint8Array(readFileSync(join(FIXTURES, name)));
const keyring = (...names: string[]) => joinKeyrings(names.map((name) => readKeyring(fixture(name), name)));
const DATA = fixture("data");
/** A month after the signatures were made, before anything but `short` has expired. */
const NOW = new Date("2024-07-15T00:00:00Z");

function answer(action: () => unknown): string {
  try {
    action();
    return "good";
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return describeError(error);
  }
}
const detached = (keys: string, signature: string, data = DATA, now = NOW) =>
  answer(() => verifyDetached(keyring(keys), [data], fixture(signature), now));
const message = (keys: string, name: string) =>
  answer(() => verifySignedMessage(keyring(keys), fixture(name), 1000, NOW));

describe("detached OpenPGP signatures", () => {
  test.each<[keys: string, signature: string, expected: string]>([
    ["rsa.gpg", "rsa.sig", "good"],
    ["p256.gpg", "p256.sig", "good"],
    ["p384.gpg", "p384.sig", "good"],
    ["p521.gpg", "p521.sig", "good"],
    ["ed25519.gpg", "ed25519.sig", "good"],
    ["subkey.gpg", "subkey.sig", "good"],
    ["subkey.asc", "subkey.sig", "good"],
    ["ed25519.gpg", "ed25519.asc.sig", "good"],
    ["rsa.gpg", "rsa-SHA256.sig", "good"],
    ["rsa.gpg", "rsa-SHA384.sig", "good"],
    ["rsa.gpg", "rsa-SHA512.sig", "good"],
    ["sha1self.gpg", "sha1self.sig", "good"],
    ["revoked-before.gpg", "revoked.sig", "good"],
    ["rsa.gpg", "rsa-SHA1.sig", "hash algorithm 2, which is not accepted"],
    ["rsa.gpg", "rsa-SHA224.sig", "hash algorithm 11, which is not accepted"],
    ["revoked.gpg", "revoked.sig", "is revoked"],
    ["subrevoked.gpg", "subrevoked.sig", "is revoked"],
    ["short.gpg", "short.sig", "has expired"],
    ["ed25519.gpg", "expired-signature.sig", "has expired"],
    ["ed25519.gpg", "textmode.sig", "is not of a document"],
    ["weak.gpg", "weak.sig", "algorithm is unsupported"],
    ["dsa.gpg", "dsa.sig", "algorithm is unsupported"],
    ["rsa.gpg", "ed25519.sig", "which is not in the keyring"],
  ])("%s, %s: %s", (keys, signature, expected) => {
    expect(detached(keys, signature)).toEndWith(expected);
  });

  test("other data", () => {
    expect(detached("rsa.gpg", "rsa.sig", DATA.subarray(1))).toEndWith("is bad: other data was signed");
  });

  test("the signer is named", () => {
    const verified = verifyDetached(keyring("rsa.gpg", "subkey.gpg"), [DATA], fixture("subkey.sig"), NOW);
    const [certificate] = readKeyring(fixture("subkey.gpg")).certificates;
    expect(verified).toEqual({
      fingerprint: certificate!.subkeys[0]!.key.fingerprint,
      primaryFingerprint: certificate!.primary.fingerprint,
      keyId: certificate!.subkeys[0]!.key.keyId,
      created: new Date("2024-06-01T12:00:00Z"),
      userIds: ["subkey <subkey@example.org>"],
    });
  });

  test("data in pieces", () => {
    const pieces = [...DATA].map((byte) => Uint8Array.of(byte));
    expect(verifyDetached(keyring("p384.gpg"), pieces, fixture("p384.sig"), NOW).userIds).toEqual([
      "p384 <p384@example.org>",
    ]);
  });

  test("before keys and signatures were made", () => {
    const early = (at: string) => detached("rsa.gpg", "rsa.sig", DATA, new Date(at));
    expect(early("2024-05-31T00:00:00Z")).toEndWith("was made in the future");
    expect(detached("short.gpg", "short.sig", DATA, new Date("2024-06-02T00:00:00Z"))).toBe("good");
  });

  test("several signatures, some by unknown keys", () => {
    const report = checkDetached(keyring("p256.gpg", "ed25519.gpg"), [DATA], fixture("several.sig"), NOW);
    expect(report.verified.map(({ userIds }) => userIds[0])).toEqual([
      "p256 <p256@example.org>",
      "ed25519 <ed25519@example.org>",
    ]);
    expect(report.refused.map(({ reason }) => reason)).toEqual([
      expect.stringContaining("which is not in the keyring"),
    ]);
  });
});

describe("OpenPGP messages with their signature", () => {
  test.each<[keys: string, message: string, expected: string]>([
    ["rsa.gpg", "message-none.msg", "good"],
    ["rsa.gpg", "message-zip.msg", "good"],
    ["rsa.gpg", "message-zlib.msg", "good"],
    ["p384.gpg", "message.asc", "good"],
    ["ed25519.gpg", "message-several.msg", "good"],
    ["rsa.gpg", "message-bzip2.msg", "compression algorithm 3 is not supported"],
    ["p256.gpg", "message-none.msg", "which is not in the keyring"],
    ["rsa.gpg", "unsigned.msg", "this is not a signed message"],
    ["rsa.gpg", "rsa.sig", "this is not a signed message"],
    ["rsa.gpg", "clearsigned.asc", "the message is neither binary nor in ASCII armor"],
    ["rsa.gpg", "data", "the message is neither binary nor in ASCII armor"],
  ])("%s, %s: %s", (keys, name, expected) => {
    expect(message(keys, name)).toEndWith(expected);
  });

  test("the content is what was signed", () => {
    for (const name of ["message-none.msg", "message-zip.msg", "message-zlib.msg"])
      expect(verifySignedMessage(keyring("rsa.gpg"), fixture(name), 1000, NOW).content).toEqual(DATA);
  });

  test("a message that is too large", () => {
    expect(
      answer(() => verifySignedMessage(keyring("rsa.gpg"), fixture("message-zip.msg"), 5, NOW)),
    ).toContain("more than 5 bytes");
  });
});

describe("keyrings", () => {
  test.each<[string, Uint8Array, string]>([
    ["a signature", fixture("rsa.sig"), ""],
    ["a message", fixture("message-none.msg"), "where public keys are expected"],
    ["nothing", new Uint8Array(), "neither binary nor in ASCII armor"],
    ["a keybox", Buffer.from("........KBXf...."), "is a keybox"],
  ])("%s", (_, bytes, expected) => {
    const found = answer(() => {
      if (readKeyring(bytes).certificates.length === 0) throw new CfsError("Invalid", "");
    });
    expect(found).toContain(expected);
    expect(found).not.toBe("good");
  });

  test("several armored keys in one file", () => {
    const twice = Buffer.concat([fixture("subkey.asc"), fixture("subkey.asc")]);
    expect(readKeyring(twice).certificates).toHaveLength(2);
  });
});

/** Flips a bit of a random byte. */
const damage = (bytes: Uint8Array) =>
  fc.tuple(fc.nat(bytes.length - 1), fc.nat(7)).map(([at, bit]) => {
    const copy = bytes.slice();
    copy[at]! ^= 1 << bit;
    return copy;
  });

describe("damage", () => {
  const keys = ["rsa", "p256", "ed25519", "subkey"] as const;

  test.each(keys)("any flipped bit of a signature by %s is noticed or changes nothing", (name) => {
    const good = verifyDetached(keyring(`${name}.gpg`), [DATA], fixture(`${name}.sig`), NOW);
    fc.assert(
      fc.property(damage(fixture(`${name}.sig`)), (bytes) => {
        let verified: unknown;
        const found = answer(() => {
          verified = verifyDetached(keyring(`${name}.gpg`), [DATA], bytes, NOW);
        });
        if (found === "good") expect(verified).toEqual(good);
      }),
      { numRuns: 300 },
    );
  });

  test.each(keys)("every flipped byte of the signature's numbers by %s is refused", (name) => {
    const signature = fixture(`${name}.sig`);
    const ring = keyring(`${name}.gpg`);
    const size = name === "rsa" || name === "subkey" ? 256 : 64;
    for (let at = signature.length - size; at < signature.length; at += name === "rsa" ? 7 : 1) {
      const bytes = signature.slice();
      bytes[at]! ^= 0x10;
      expect(answer(() => verifyDetached(ring, [DATA], bytes, NOW))).not.toBe("good");
    }
  });

  test.each(keys)("any flipped bit of the key %s is noticed or changes nothing", (name) => {
    const good = verifyDetached(keyring(`${name}.gpg`), [DATA], fixture(`${name}.sig`), NOW);
    fc.assert(
      fc.property(damage(fixture(`${name}.gpg`)), (bytes) => {
        let verified: unknown;
        const found = answer(() => {
          verified = verifyDetached(readKeyring(bytes), [DATA], fixture(`${name}.sig`), NOW);
        });
        if (found === "good") expect(verified).toEqual(good);
      }),
      { numRuns: 300 },
    );
  });

  test("a flipped bit of a message changes neither its content nor its signer", () => {
    const good = verifySignedMessage(keyring("rsa.gpg"), fixture("message-zip.msg"), 1000, NOW);
    fc.assert(
      fc.property(damage(fixture("message-zip.msg")), (bytes) => {
        let verified: unknown;
        const found = answer(() => {
          verified = verifySignedMessage(keyring("rsa.gpg"), bytes, 1000, NOW);
        });
        if (found === "good") expect(verified).toEqual(good);
      }),
      { numRuns: 300 },
    );
  });

  test("random and cut bytes are refused in words", () => {
    // the first of several signatures is good without the others
    const sources = ["rsa.gpg", "subkey.gpg", "rsa.sig", "message-zip.msg"].map(fixture);
    const cut = fc
      .tuple(fc.constantFrom(...sources), fc.nat(2000))
      .map(([bytes, length]) => bytes.subarray(0, Math.min(length, bytes.length - 1)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), cut), (bytes) => {
        answer(() => readKeyring(bytes));
        expect(answer(() => verifyDetached(keyring("rsa.gpg"), [DATA], bytes, NOW))).not.toBe("good");
        expect(answer(() => verifySignedMessage(keyring("rsa.gpg"), bytes, 1000, NOW))).not.toBe("good");
      }),
      { numRuns: 500 },
    );
  });
});
