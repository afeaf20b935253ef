import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { preferSystemHash } from "../../src/repository/fast-hash.ts";
import { systemSha512 } from "../../src/sys/libcrypto.ts";
import { SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest, replaceSha512 } from "../../src/verity/merkle.ts";

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

test("digests do not depend on whose SHA-512 it is", () => {
  const data = Buffer.alloc(300_000, "some text that repeats itself. ");
  const before = fsVerityDigest(data, SHA512);
  preferSystemHash("sha512");
  try {
    expect(fsVerityDigest(data, SHA512)).toBe(before);
  } finally {
    replaceSha512(Bun.SHA512.hash.bind(Bun.SHA512) as never);
  }
});
