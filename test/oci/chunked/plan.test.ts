import { expect, test } from "bun:test";
import fc from "fast-check";
import { ChunkedPlanner, PART_WIDTH, PartKind } from "../../../src/oci/chunked/plan.ts";
import type { ChunkedFile } from "../../../src/oci/chunked/toc.ts";
import type { ObjectId } from "../../../src/verity/digest.ts";

interface Drawn {
  readonly gap: number;
  readonly size: number;
  readonly present: boolean;
}

const drawn = fc.array(
  fc.record({
    gap: fc.integer({ min: 1, max: 900 }),
    size: fc.integer({ min: 1, max: 2000 }),
    present: fc.boolean(),
  }),
  { maxLength: 60 },
);

/** Files with headers between them. */
function filesOf(list: readonly Drawn[]): { files: ChunkedFile[]; end: number } {
  let at = 0;
  const files = list.map(({ gap, size }, i) => {
    const offset = at + gap;
    at = offset + size;
    return { name: `f${i}`, size, digest: "sha256:0" as ChunkedFile["digest"], offset, end: at };
  });
  return { files, end: at + 1024 };
}

test("fetched ranges and objects together are the blob, in its order", () => {
  fc.assert(
    fc.property(drawn, fc.integer({ min: 1, max: 20 }), (list, maxRanges) => {
      const { files, end } = filesOf(list);
      const objectOf = (i: number) => (list[i]!.present ? (`object ${i}` as ObjectId) : undefined);
      const plan = new ChunkedPlanner(files, objectOf, maxRanges).fromFrames(end);
      expect(plan.ranges.length).toBeLessThanOrEqual(maxRanges);
      expect(plan.ranges.reduce((sum, { length }) => sum + length, 0)).toBe(plan.fetchLength);

      // Each byte of the local file, as where it is in the blob.
      const local = plan.ranges.flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i));
      const tar: number[] = [];
      for (let part = 0; part < plan.parts.length; part += PART_WIDTH) {
        const [kind, offset, length] = plan.parts.subarray(part, part + PART_WIDTH);
        if (kind === PartKind.Frames) tar.push(...local.slice(offset, offset! + length!));
        else {
          const file = files[Number(plan.objects[offset!]!.slice("object ".length))]!;
          expect(length).toBe(file.size);
          for (let at = file.offset; at < file.end; at++) tar.push(at);
        }
      }
      expect(tar).toEqual(Array.from({ length: end }, (_, i) => i));
    }),
    { numRuns: 60 },
  );
});

test("pieces and files that don't fit together are refused", () => {
  const { files } = filesOf([{ gap: 10, size: 20, present: false }]);
  const plan = (name: string, size: number) =>
    new ChunkedPlanner(files, () => undefined).fromPieces([
      { kind: "bytes", bytes: new Uint8Array(512) },
      { kind: "body", name, size },
    ]);
  expect(plan("f0", 20).plainLength).toBe(512);
  expect(() => plan("f1", 20)).toThrow("no place for f1");
  expect(() => plan("f0", 21)).toThrow("no place for f0");
});
