import { describe, expect, test } from "bun:test";
import { createZstdCompress, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import * as fzstd from "fzstd";
import { ungzip } from "pako";
import { type Compression, decompressor, ZstdCompressor } from "../../src/compress/sync.ts";
import { CfsError } from "../../src/errors.ts";

function decompress(
  compression: Compression,
  input: Uint8Array,
  inStep = 1 << 20,
  outSize = 1 << 16,
): Uint8Array {
  const decoder = decompressor(compression);
  const output = new Uint8Array(new SharedArrayBuffer(outSize));
  const parts: Uint8Array[] = [];
  for (let start = 0; start < input.length; ) {
    const end = Math.min(input.length, start + inStep);
    decoder.step(input, start, end, output, 0, output.length);
    parts.push(Uint8Array.from(output.subarray(0, decoder.produced)));
    if (decoder.consumed === 0 && decoder.produced === 0) throw new Error("no progress");
    start += decoder.consumed;
  }
  for (;;) {
    decoder.step(input, input.length, input.length, output, 0, output.length);
    if (decoder.produced === 0) break;
    parts.push(Uint8Array.from(output.subarray(0, decoder.produced)));
  }
  decoder.finish();
  return Buffer.concat(parts);
}

const text = Buffer.from("the quick brown fox jumps over the lazy dog. ".repeat(9000));
const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
const gzip = (data: Uint8Array) => Bun.gzipSync(new Uint8Array(data));
const checksummed = zstdCompressSync(text, { params: { 201: 1 } });

describe("valid input", () => {
  const cases: [string, Compression, Uint8Array, Uint8Array][] = [
    ["gzip, one member", "gzip", gzip(text), text],
    ["gzip, two members", "gzip", Buffer.concat([gzip(text), gzip(text)]), Buffer.concat([text, text])],
    ["gzip, zero padding", "gzip", Buffer.concat([gzip(text), Buffer.alloc(777)]), text],
    ["gzip, empty member", "gzip", gzip(new Uint8Array(0)), new Uint8Array(0)],
    ["zstd, one frame", "zstd", Bun.zstdCompressSync(text), text],
    ["zstd, checksum", "zstd", checksummed, text],
    [
      "zstd, frames and skippable frames",
      "zstd",
      Buffer.concat([skippable, Bun.zstdCompressSync(text), skippable, checksummed, skippable]),
      Buffer.concat([text, text]),
    ],
    ["none", "none", text, text],
  ];
  for (const [name, compression, input, want] of cases) {
    for (const [inStep, outSize] of [
      [1 << 20, 1 << 20],
      [1000, 100_000],
      [1, 7777],
    ] as const) {
      test(`${name}, ${inStep} bytes at a time`, () => {
        expect(Buffer.compare(decompress(compression, input, inStep, outSize), want)).toBe(0);
      });
    }
  }
});

describe("invalid input", () => {
  const flipped = Buffer.from(gzip(text));
  flipped[flipped.length - 6]! ^= 1;
  const cases: [string, Compression, Uint8Array, RegExp][] = [
    ["gzip with a wrong checksum", "gzip", flipped, /damaged gzip data/],
    ["gzip with junk behind", "gzip", Buffer.concat([gzip(text), Buffer.from("junk")]), /gzip/],
    [
      "gzip with junk behind the padding",
      "gzip",
      Buffer.concat([gzip(text), Buffer.alloc(9), Buffer.from("junk")]),
      /garbage/,
    ],
    ["no gzip", "gzip", text, /damaged gzip data/],
    ["empty gzip", "gzip", new Uint8Array(0), /too early/],
    [
      "zstd with junk behind",
      "zstd",
      Buffer.concat([Bun.zstdCompressSync(text), Buffer.from("junkjunk")]),
      /damaged zstd data/,
    ],
    ["no zstd", "zstd", text, /damaged zstd data/],
  ];
  for (const [name, compression, input, message] of cases) {
    test(name, () => {
      expect(() => decompress(compression, input)).toThrow(message);
    });
  }
});

test("every cut is noticed, except between frames", () => {
  const noise = new Uint8Array(300).map((_, i) => (i * 167) ^ (i >> 3));
  const members = [gzip(noise), gzip(text.subarray(0, 3000))];
  const frames = [
    skippable,
    zstdCompressSync(noise),
    zstdCompressSync(text.subarray(0, 3000), { params: { 201: 1 } }),
  ];
  for (const [compression, parts] of [
    ["gzip", members],
    ["zstd", frames],
  ] as const) {
    const whole = Buffer.concat(parts);
    const borders = parts.map((_, i) => parts.slice(0, i + 1).reduce((sum, part) => sum + part.length, 0));
    for (let length = 1; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      if (borders.includes(length)) decompress(compression, cut);
      else expect(() => decompress(compression, cut)).toThrow(CfsError);
    }
  }
});

test("agrees with the pure JavaScript decoders", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.integer({ min: 1, max: 600 }), (data, step) => {
      const zstd = Bun.zstdCompressSync(data as Uint8Array<ArrayBuffer>);
      const gz = gzip(data);
      expect(Buffer.compare(decompress("zstd", zstd, step), fzstd.decompress(zstd))).toBe(0);
      expect(Buffer.compare(decompress("gzip", gz, step), ungzip(gz))).toBe(0);
    }),
  );
});

/** The documented interface, with everything written at once. */
async function reference(data: Uint8Array): Promise<Buffer> {
  const stream = createZstdCompress();
  const parts: Buffer[] = [];
  stream.on("data", (part: Buffer) => parts.push(part));
  const ended = new Promise((resolve) => stream.on("end", resolve));
  if (data.length > 0) stream.write(data);
  stream.end();
  await ended;
  return Buffer.concat(parts);
}

test("the compressed frame does not depend on the slicing", async () => {
  const big = Buffer.concat(
    Array.from({ length: 8 }, (_, i) => Buffer.concat([text, Buffer.alloc(1000 + i, i)])),
  );
  for (const data of [new Uint8Array(0), text.subarray(0, 10), text, big]) {
    const want = await reference(data);
    for (const step of [13, 4096, 1 << 24]) {
      if (data.length / step > 100_000) continue;
      const parts: Uint8Array[] = [];
      const compressor = new ZstdCompressor();
      const sink = (part: Uint8Array) => void parts.push(part.slice());
      for (let at = 0; at < data.length; at += step) compressor.write(data.subarray(at, at + step), sink);
      compressor.end(sink);
      expect(Buffer.compare(Buffer.concat(parts), want)).toBe(0);
    }
  }
  expect((await reference(new Uint8Array(0))).toString("hex")).toBe("28b52ffd2000010000");
});
