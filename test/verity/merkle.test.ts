import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import expected from "../../fixtures/verity/expected.json";
import { type Algorithm, SHA256, SHA512 } from "../../src/verity/digest.ts";
import {
  BlockBuffer,
  digestFromLeaves,
  fsVerityDigest,
  hashBlocks,
  VerityHasher,
  verityDescriptor,
} from "../../src/verity/merkle.ts";

interface Vector {
  gen: "zero" | "pattern" | "hex";
  size: number;
  k?: number;
  hex?: string;
  sha256?: string;
}

function generate({ gen, size, k = 0, hex = "" }: Vector): Uint8Array {
  if (gen === "hex") return Uint8Array.fromHex(hex);
  const data = new Uint8Array(size);
  if (gen === "pattern") {
    const period = new Uint8Array(65536);
    for (let i = 0; i < period.length; i++) period[i] = (i * k + Math.floor(i / 256) * 7 + 3) % 256;
    for (let at = 0; at < size; at += period.length) data.set(period.subarray(0, size - at), at);
  }
  return data;
}

/** The definition, written down with node:crypto and without regard to speed. */
function oracle(data: Uint8Array, { hash, size }: Algorithm): string {
  const digest = (block: Uint8Array) => {
    const padded = new Uint8Array(4096);
    padded.set(block);
    return createHash(hash).update(padded).digest();
  };
  const blocksOf = (bytes: Uint8Array) =>
    Array.from({ length: Math.ceil(bytes.length / 4096) }, (_, i) =>
      bytes.subarray(i * 4096, i * 4096 + 4096),
    );
  let level: Uint8Array =
    data.length === 0 ? new Uint8Array(size) : Buffer.concat(blocksOf(data).map(digest));
  while (level.length > size) level = Buffer.concat(blocksOf(level).map(digest));
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, hash === "sha256" ? 1 : 2, 12]);
  descriptor.writeUIntLE(data.length, 8, 6);
  descriptor.set(level, 16);
  return createHash(hash).update(descriptor).digest("hex");
}

describe("recorded digests", () => {
  for (const vector of expected as unknown as (Vector &
    Record<string, { digest: string; root_hash: string; descriptor: string | null }>)[]) {
    const data = generate(vector);
    const label = `${vector.gen}${vector.k ?? ""} ${data.length} bytes`;
    for (const algorithm of [SHA256, SHA512]) {
      const want = vector[`${algorithm.hash}-12`]!;
      test(`${label} ${algorithm.hash}`, () => {
        if (vector.sha256) expect(createHash("sha256").update(data).digest("hex")).toBe(vector.sha256);
        expect(fsVerityDigest(data, algorithm)).toBe(want.digest as never);
        const hasher = new VerityHasher(algorithm);
        for (let at = 0; at < data.length; at += 5000) hasher.update(data.subarray(at, at + 5000));
        expect(hasher.digest()).toBe(want.digest as never);
        if (want.descriptor) {
          const root = Uint8Array.fromHex(want.root_hash);
          expect(verityDescriptor(data.length, root, algorithm).toString("hex")).toBe(want.descriptor);
        }
      });
    }
  }
});

test("a buffer that is used again and again gives the digest of what was read last", () => {
  for (const algorithm of [SHA256, SHA512]) {
    const buffer = new BlockBuffer(70, algorithm);
    for (const size of [286_720, 0, 1, 4096, 100, 4097, 266_240, 8191, 286_719]) {
      const data = generate({ gen: "pattern", size, k: 7 });
      buffer.bytes.set(data);
      expect(buffer.digest(size)).toBe(fsVerityDigest(data, algorithm));
    }
  }
});

test("any slicing gives the digest of the definition", () => {
  const sizes = fc.oneof(
    fc.integer({ min: 0, max: 20_000 }),
    fc.constantFrom(4096, 8192, 262_144, 262_145, 524_288, 524_289),
  );
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 1, max: 9000 }),
      fc.constantFrom(SHA256, SHA512),
      (size, step, algorithm) => {
        const data = generate({ gen: "pattern", size, k: 31 });
        const hasher = new VerityHasher(algorithm);
        for (let at = 0; at < size; at += step) hasher.update(data.subarray(at, at + step));
        expect(hasher.digest()).toBe(oracle(data, algorithm) as never);
        expect(hasher.size).toBe(size);
      },
    ),
    { numRuns: 60 },
  );
});

test("leaf hashes made apart give the digest of the whole", () => {
  const data = generate({ gen: "pattern", size: 1_000_001, k: 7 });
  for (const algorithm of [SHA256, SHA512]) {
    const leaves = new Uint8Array(245 * algorithm.size);
    const half = 100 * 4096;
    const written = hashBlocks(data, 0, half, leaves, 0, algorithm);
    hashBlocks(data, half, data.length, leaves, written, algorithm);
    const hasher = new VerityHasher(algorithm);
    hasher.updateHashed(leaves.subarray(0, written), half);
    hasher.updateHashed(leaves.subarray(written), data.length - half);
    expect(hasher.digest()).toBe(oracle(data, algorithm) as never);
    expect(digestFromLeaves(leaves, data.length, algorithm)).toBe(oracle(data, algorithm) as never);
  }
});
