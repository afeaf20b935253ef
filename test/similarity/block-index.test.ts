import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BlockIndex } from "../../src/similarity/block-index.ts";
import { RollingHash } from "../../src/similarity/rolling-hash.ts";
import { noise } from "../support/tar-writer.ts";

function indexOf(files: readonly Uint8Array[]): BlockIndex {
  const index = BlockIndex.of(files.map(({ length }) => length));
  // As another thread would.
  const other = new BlockIndex(index.memory);
  files.forEach((bytes, file) => {
    other.hash(file, 0, bytes);
  });
  index.finish();
  return index;
}

function search(index: BlockIndex, bytes: Uint8Array): { at: number; file: number; offset: number }[] {
  const found: { at: number; file: number; offset: number }[] = [];
  index.search(bytes, 0, bytes.length, (at, { file, offset }) => {
    found.push({ at, file, offset });
    return at + index.block;
  });
  return found;
}

test("a hash that has moved on is that of where it is", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 40, maxLength: 90 }),
      fc.integer({ min: 1, max: 32 }),
      (bytes, window) => {
        const roll = new RollingHash(window);
        let hash = roll.at(bytes, 0);
        for (let at = 0; at + window < bytes.length; at++) {
          hash = roll.next(hash, bytes[at]!, bytes[at + window]!);
          expect(hash).toBe(roll.at(bytes, at + 1));
        }
      },
    ),
  );
});

describe("blocks of many files", () => {
  const files = [
    noise(3000, 1),
    new Uint8Array(0),
    noise(511, 2),
    noise(4096, 3),
    new Uint8Array(9000),
    noise(700, 5),
  ];
  const index = indexOf(files);

  test("every whole block is found, wherever it is now", () => {
    const young = Buffer.concat([
      noise(33, 9),
      files[3]!.subarray(512, 2048),
      noise(7, 8),
      files[5]!.subarray(0, 512),
    ]);
    expect(search(index, young)).toEqual([
      { at: 33, file: 3, offset: 512 },
      { at: 545, file: 3, offset: 1024 },
      { at: 1057, file: 3, offset: 1536 },
      { at: 1576, file: 5, offset: 0 },
    ]);
  });

  test("blocks of one byte over and over are of no use, and files without blocks have none", () => {
    expect(search(index, new Uint8Array(5000))).toEqual([]);
    expect(search(index, files[2]!)).toEqual([]);
    expect(search(indexOf([]), files[0]!)).toEqual([]);
  });

  test("of blocks that are the same, the first is found", () => {
    const same = noise(512, 6);
    const twice = indexOf([Buffer.concat([same, same]), same]);
    expect(search(twice, same)).toEqual([{ at: 0, file: 0, offset: 0 }]);
  });

  test("where blocks were cut out of files, they are found again", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(60)), { minLength: 1, maxLength: 8 }), (pieces) => {
        const sources = [files[0]!, files[3]!, noise(50_000, 11), noise(2000, 12)];
        const known = indexOf(sources);
        const parts = pieces.map(([file, gap]) => [
          noise(gap, gap + 100),
          sources[file]!.subarray(512, 1024),
        ]);
        const found = search(known, Buffer.concat(parts.flat()));
        expect(found.map(({ file }) => file)).toEqual(pieces.map(([file]) => file));
      }),
      { numRuns: 50 },
    );
  });
});
