import { expect, test } from "bun:test";
import fc from "fast-check";
import { ImageWindow } from "../../src/erofs/window.ts";

const BLOCK = 4096;

test("what is written comes out at its place, in whole blocks, with zeros between", () => {
  const item = fc.record({ gap: fc.nat(BLOCK), size: fc.integer({ min: 1, max: 300_000 }) });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 30 }), (items) => {
      const pieces: Buffer[] = [];
      const window = new ImageWindow((piece) => {
        expect(piece.length % BLOCK).toBe(0);
        pieces.push(Buffer.from(piece));
      });
      let end = 0;
      const expected = Buffer.alloc(items.length * 304_096 + BLOCK);
      for (const [i, { gap, size }] of items.entries()) {
        const at = window.at(end + gap, size);
        window.bytes.fill(i + 1, at, at + size);
        expected.fill(i + 1, end + gap, end + gap + size);
        end += gap + size;
      }
      const length = Math.ceil(end / BLOCK) * BLOCK;
      window.finish(length);
      expect(Buffer.concat(pieces).equals(expected.subarray(0, length))).toBe(true);
    }),
    { numRuns: 50 },
  );
});
