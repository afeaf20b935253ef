import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SEED, type Stretch, StretchFinder } from "../../src/similarity/stretches.ts";
import { noise } from "../support/tar-writer.ts";

const find = (old: Uint8Array, young: Uint8Array) => new StretchFinder(old).find(young);

/** Bytes of the new content that lie in no stretch, or are others in the old content. */
function lacking(old: Uint8Array, young: Uint8Array, stretches: readonly Stretch[]): number {
  let same = 0;
  for (const { newStart, oldStart, length } of stretches)
    for (let i = 0; i < length; i++) if (old[oldStart + i] === young[newStart + i]) same++;
  return young.length - same;
}

/** Few values and repetitions, so that there is much to find. */
const bytes = fc
  .array(fc.oneof(fc.uint8Array({ max: 3, maxLength: 60 }), fc.uint8Array({ maxLength: 40 })), {
    maxLength: 12,
  })
  .map((parts) => new Uint8Array(Buffer.concat([...parts, ...parts.slice(0, 3)])));

describe("pieces of old bytes in new ones", () => {
  test("stretches are in order, apart from each other, inside of both, and worth their while", () => {
    fc.assert(
      fc.property(bytes, bytes, fc.boolean(), (a, b, isRelated) => {
        const young = isRelated ? new Uint8Array(Buffer.concat([b, a.subarray(3), b, a])) : b;
        let end = 0;
        for (const { newStart, oldStart, length } of find(a, young)) {
          expect(newStart).toBeGreaterThanOrEqual(end);
          expect(oldStart).toBeGreaterThanOrEqual(0);
          expect(oldStart + length).toBeLessThanOrEqual(a.length);
          end = newStart + length;
          expect(end).toBeLessThanOrEqual(young.length);
          expect(length).toBeGreaterThanOrEqual(SEED);
        }
      }),
    );
  });

  test("the same bytes are one stretch, whatever they are", () => {
    fc.assert(
      fc.property(bytes, (old) => {
        fc.pre(old.length >= 2 * SEED);
        expect(find(old, old)).toEqual([{ newStart: 0, oldStart: 0, length: old.length }]);
      }),
    );
  });

  const old = noise(200_000, 1);
  const cases: [what: string, young: Uint8Array, mostLacking: number][] = [
    ["nothing in common", noise(50_000, 2), 50_000],
    ["nothing", new Uint8Array(0), 0],
    ["an insertion", Buffer.concat([old.subarray(0, 70_001), noise(100, 3), old.subarray(70_001)]), 101],
    ["a deletion", Buffer.concat([old.subarray(0, 70_001), old.subarray(90_003)]), 0],
    ["halves in the other order", Buffer.concat([old.subarray(99_999), old.subarray(0, 99_999)]), 0],
    ["changed bytes here and there", old.map((byte, i) => (i % 40 === 7 ? byte ^ 1 : byte)), 5000],
    ["three bytes before all", Buffer.concat([Uint8Array.of(1, 2, 3), old]), 3],
  ];
  test.each(cases)("%s", (_, young, mostLacking) => {
    expect(lacking(old, young, find(old, young))).toBeLessThanOrEqual(mostLacking);
  });

  test("places of large files are found, wherever they begin", () => {
    const large = noise(5 * 1024 * 1024, 4);
    const finder = new StretchFinder(large);
    for (const start of [0, 1, 2, 3, 4_000_001]) {
      const young = large.subarray(start, start + 100);
      expect(finder.find(young)).toEqual([{ newStart: 0, oldStart: start, length: 100 }]);
    }
  });

  test("runs of one byte don't take long", () => {
    const zeros = new Uint8Array(8 * 1024 * 1024);
    const young = zeros.slice();
    for (let at = 0; at < young.length; at += 4099) young[at] = 1;
    const start = performance.now();
    expect(find(zeros, young).length).toBeGreaterThan(0);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});
