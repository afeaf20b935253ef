import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { sha512Lanes } from "../../../src/sys/lanes/load.ts";

const hash = sha512Lanes();
const isThere = hash !== undefined;
if (!isThere) console.log("skipped: this processor can't hash eight blocks at a time (it has no AVX-512)");

test("it is there exactly where the kernel names AVX-512", () => {
  const flags = /^flags\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "latin1"))?.[1]?.split(" ") ?? [];
  expect(isThere).toBe(flags.includes("avx512f") && flags.includes("avx512bw"));
});

test.skipIf(!isThere)("one to eight blocks anywhere have the hashes that Bun finds", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.nat(200),
      fc.nat(200),
      fc.uint8Array({ minLength: 1, maxLength: 5000 }),
      (blocks, at, outAt, pattern) => {
        const data = Buffer.alloc(at + blocks * 4096, pattern);
        const out = Buffer.alloc(outAt + blocks * 64 + 64, 0xaa);
        hash!(data, at, out, outAt, blocks);
        const expected = Buffer.alloc(out.length, 0xaa);
        for (let i = 0; i < blocks; i++) {
          const block = data.subarray(at + i * 4096, at + (i + 1) * 4096);
          expected.set(Bun.SHA512.hash(block) as Uint8Array, outAt + i * 64);
        }
        expect(out.equals(expected)).toBeTrue();
      },
    ),
  );
});

test.skipIf(!isThere)("memory that is shared between threads is hashed", () => {
  const data = new Uint8Array(new SharedArrayBuffer(2 * 4096)).fill(1);
  const out = new Uint8Array(new SharedArrayBuffer(128));
  hash!(data, 0, out, 0, 2);
  const expected = Bun.SHA512.hash(new Uint8Array(4096).fill(1)) as Uint8Array;
  expect([...out]).toEqual([...expected, ...expected]);
});

test.skipIf(!isThere)("nothing outside of the memory it is given is touched", () => {
  const data = new Uint8Array(2 * 4096);
  const out = new Uint8Array(128);
  for (const [at, outAt, blocks] of [
    [1, 0, 2],
    [0, 1, 2],
    [-1, 0, 1],
    [0, -1, 1],
    [0, 0, 0],
    [0, 0, 3],
    [Number.NaN, 0, 1],
  ] as const) {
    expect(() => hash!(data, at, out, outAt, blocks)).toThrow(RangeError);
  }
  expect(() => hash!(new Uint8Array(9 * 4096), 0, new Uint8Array(9 * 64), 0, 9)).toThrow(RangeError);
  expect([...out]).toEqual(Array(128).fill(0));
});
