import { expect, test } from "bun:test";
import fc from "fast-check";
import { hashHex, IndexTable } from "../../src/erofs/index-table.ts";
import { readImage } from "../../src/erofs/reader.ts";
import { writeImage } from "../../src/erofs/writer.ts";
import { directory, leaf, NO_XATTRS, type Stat } from "../../src/tree/model.ts";
import { countLinks } from "../../src/tree/walk.ts";
import { SHA256 } from "../../src/verity/digest.ts";

function numbers(keys: readonly string[], hash: (key: string) => number): number[] {
  const known: string[] = [];
  const table = new IndexTable(known, keys.length);
  return keys.map((key) => {
    const index = table.indexOf(key, hash(key), known.length);
    if (index === known.length) known.push(key);
    return index;
  });
}

test("keys get the number of their first occurrence, whatever the hash", () => {
  const key = fc.string({ maxLength: 2, unit: fc.constantFrom("a", "b", "c", "d", "e", "f", "g", "h") });
  fc.assert(
    fc.property(fc.array(key, { maxLength: 300, size: "max" }), (keys) => {
      const distinct = [...new Set(keys)];
      const expected = keys.map((k) => distinct.indexOf(k));
      expect(numbers(keys, (k) => hashHex(k))).toEqual(expected);
      expect(numbers(keys, () => -1)).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});

test("a hundred thousand keys with one hash take no quadratic time", () => {
  const keys = Array.from({ length: 100_000 }, (_, i) => `${i}`);
  const started = performance.now();
  expect(numbers([...keys, ...keys], () => 7).at(-1)).toBe(99_999);
  expect(performance.now() - started).toBeLessThan(2000);
});

test("equal files stay apart, and each keeps its hard links", () => {
  const stat: Stat = { mode: 0o600, uid: 0, gid: 0, mtime: 1n, mtimeNsec: 0, xattrs: NO_XATTRS };
  const root = directory({ ...stat, mode: 0o755 });
  for (let i = 0; i < 100; i++) {
    const node = leaf(stat, { type: "inline", data: "same" });
    root.entries.set(`a${i}`, node);
    root.entries.set(`b${i}`, node);
  }
  for (const version of [0, 1, 2] as const) {
    const read = readImage(writeImage(root, version, SHA256), SHA256).root;
    expect([...countLinks(read).values()]).toEqual(Array.from({ length: 100 }, () => 2));
    for (let i = 0; i < 100; i++) expect(read.entries.get(`a${i}`)).toBe(read.entries.get(`b${i}`)!);
  }
});
