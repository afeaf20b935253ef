import { describe, expect, test } from "bun:test";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { compressor } from "../../src/compress/compressor.ts";
import type { Compression } from "../../src/compress/sync.ts";

function compress(kind: Compression, pieces: readonly Uint8Array[], level?: number): Buffer {
  const parts: Uint8Array[] = [];
  const keep = (piece: Uint8Array<ArrayBufferLike>) => void parts.push(piece.slice());
  const coder = compressor(kind, level);
  for (const piece of pieces) coder.write(piece, keep);
  coder.end(keep);
  coder.close();
  return Buffer.concat(parts);
}

const KINDS = { none: (bytes: Buffer) => bytes, gzip: gunzipSync, zstd: zstdDecompressSync } as const;

describe.each(Object.entries(KINDS) as [Compression, (bytes: Buffer) => Buffer][])("%s", (kind, expand) => {
  test("other decoders give the data back, and the bytes don't depend on the pieces", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 9 }),
        (pieces, level) => {
          const whole = Buffer.concat(pieces);
          const compressed = compress(kind, pieces, level);
          expect(Buffer.compare(expand(compressed), whole)).toBe(0);
          expect(Buffer.compare(compress(kind, [whole], level), compressed)).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("more than its buffers hold", () => {
    const bytes = new Uint8Array(3_000_000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * i) >> 7;
    const pieces = [bytes.subarray(0, 1_234_567), bytes.subarray(1_234_567)];
    expect(Buffer.compare(expand(compress(kind, pieces)), bytes)).toBe(0);
  });

  test("nothing at all", () => {
    expect(expand(compress(kind, [])).length).toBe(0);
  });
});

test("a gzip header says nothing of time and name", () => {
  const head = compress("gzip", [new Uint8Array(1)]).subarray(0, 8);
  expect(head.toString("hex")).toBe("1f8b080000000000");
});

test("a higher level compresses more", () => {
  const text = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `line ${(i * 7919) % 1013}\n`).join(""));
  for (const kind of ["gzip", "zstd"] as const)
    expect(compress(kind, [text], 9).length).toBeLessThan(compress(kind, [text], 1).length);
});
