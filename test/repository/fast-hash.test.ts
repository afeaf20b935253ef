import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { offerFastHash } from "../../src/repository/fast-hash.ts";
import { systemSha512 } from "../../src/sys/libcrypto.ts";
import { SHA512 } from "../../src/verity/digest.ts";
import {
  BlockBuffer,
  fsVerityDigest,
  offerSha512,
  resetSha512,
  VerityHasher,
} from "../../src/verity/merkle.ts";

const hash = systemSha512();
if (hash === undefined) console.log("skipped: there is no libcrypto on this system");

test.skipIf(hash === undefined)("the system's SHA-512 agrees with that of node:crypto", () => {
  const out = new Uint8Array(64);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 9000 }), (data) => {
      hash!(data, out);
      expect(Buffer.from(out).toString("hex")).toBe(createHash("sha512").update(data).digest("hex"));
    }),
  );
});

test.skipIf(hash === undefined)("it writes to the beginning of what it is given, and not beyond", () => {
  const out = new Uint8Array(80).fill(7);
  hash!(new Uint8Array(1), out.subarray(8));
  expect([...out.subarray(0, 8), ...out.subarray(72)]).toEqual(Array(16).fill(7));
  expect(() => hash!(new Uint8Array(1), new Uint8Array(63))).toThrow(RangeError);
});

describe("something faster", () => {
  afterEach(resetSha512);

  test("is looked for once, by a thread that hashes much", () => {
    let looked = 0;
    const find = () => {
      looked++;
      return { one: undefined, lanes: undefined };
    };
    offerSha512(find);
    fsVerityDigest(Buffer.alloc(100 * 4096), SHA512);
    expect(looked).toBe(0);
    for (let i = 0; i < 10; i++) fsVerityDigest(Buffer.alloc(100 * 4096), SHA512);
    offerSha512(find);
    fsVerityDigest(Buffer.alloc(1000 * 4096), SHA512);
    expect(looked).toBe(1);
  });

  test("finds the same digests", () => {
    fc.assert(
      fc.property(
        fc.nat(40 * 4096),
        fc.integer({ min: 1, max: 20 * 4096 }),
        fc.uint8Array({ minLength: 1, maxLength: 5000 }),
        (size, pieceSize, pattern) => {
          const data = Buffer.alloc(size, pattern);
          resetSha512();
          const expected = fsVerityDigest(data, SHA512);
          offerFastHash();
          fsVerityDigest(Buffer.alloc(1000 * 4096), SHA512);
          expect(fsVerityDigest(data, SHA512)).toBe(expected);
          const hasher = new VerityHasher(SHA512);
          for (let at = 0; at < size; at += pieceSize) hasher.update(data.subarray(at, at + pieceSize));
          expect(hasher.digest()).toBe(expected);
          const buffer = new BlockBuffer(40, SHA512);
          buffer.bytes.fill(7);
          buffer.bytes.set(data);
          expect(buffer.digest(size)).toBe(expected);
        },
      ),
    );
  });
});
