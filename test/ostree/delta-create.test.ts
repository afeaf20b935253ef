import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import type { Checksum } from "../../src/ostree/checksum.ts";
import { bspatch } from "../../src/ostree/delta/bspatch.ts";
import { memoryRange } from "../../src/ostree/delta/byte-range.ts";
import { type CreateDeltaOptions, createDelta } from "../../src/ostree/delta/create/create-delta.ts";
import { makePatch } from "../../src/ostree/delta/create/make-patch.ts";
import { deltaSource, openDeltaFile } from "../../src/ostree/delta/delta-file.ts";
import { pullWithDelta } from "../../src/ostree/delta/pull-delta.ts";
import { countObjects } from "../../src/ostree/delta/superblock.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { StretchFinder } from "../../src/similarity/stretches.ts";
import { tempDir } from "../support/temp.ts";
import { fixtureJson, linksOf, newRepository, unpackRepository } from "./support.ts";

const { commits } = fixtureJson<{
  commits: {
    archive: Readonly<Record<"c1" | "c2" | "c3" | "other", Checksum>>;
    roll: Readonly<Record<"a" | "b", Checksum>>;
  };
}>("expected.json");
const { c1, c2, c3 } = commits.archive;
const { a, b } = commits.roll;
const ALL = { inline: false, fallbackSize: Number.POSITIVE_INFINITY, jobs: 2 };

describe("what a delta brings is what a pull brings", () => {
  const cases: readonly (readonly [
    string,
    "archive" | "roll",
    Partial<CreateDeltaOptions>,
    Checksum | undefined,
    Checksum,
  ])[] = [
    ["from nothing", "archive", {}, undefined, c3],
    ["from nothing, in one file", "archive", { inline: true }, undefined, c1],
    ["to the next commit", "archive", {}, c1, c2],
    ["over two commits, in one file", "archive", { inline: true }, c1, c3],
    ["back", "archive", {}, c3, c1],
    ["to the same commit", "archive", {}, c2, c2],
    ["of a text that has moved", "roll", {}, a, b],
    ["with files to be fetched on their own", "archive", { fallbackSize: 50_000 }, undefined, c3],
  ];
  test.each(cases)("%s", async (_, name, options, from, to) => {
    using directory = tempDir();
    const path = unpackRepository(name, directory.path);
    using byDelta = newRepository(directory.join("by-delta"), "sha256");
    using byObjects = newRepository(directory.join("by-objects"), "sha256");
    await using source = LocalRepository.open(path);
    const created = await createDelta(path, { ...ALL, ...options, from, to });
    const delta = openDeltaFile(join(path, created.path, "superblock"));
    expect(delta.superblock.from).toBe(from);
    expect(delta.superblock.to).toBe(to);
    expect(delta.superblock.fallbacks.length).toBe(created.fallbacks);
    expect(created.fallbacks > 0).toBe(options.fallbackSize !== undefined);
    for (const repository of [byDelta, byObjects]) {
      if (from !== undefined && from !== to) await pullCommit(repository, source, from, { jobs: 1 });
    }
    await using nothing = deltaSource("test", delta.superblock);
    const other = created.fallbacks > 0 ? source : nothing;
    if (from === to) await pullCommit(byDelta, source, to, { jobs: 1 });
    const report = await pullWithDelta(byDelta, other, delta, { jobs: 2 });
    await pullCommit(byObjects, source, to, { jobs: 1 });
    expect(linksOf(byDelta.path)).toEqual(linksOf(byObjects.path));
    if (from !== to)
      expect({ metadata: report.metadata, files: report.files }).toEqual(countObjects(delta.superblock));
  });

  test("and it is small where little has changed, and the same each time", async () => {
    using directory = tempDir();
    const path = unpackRepository("roll", directory.path);
    const first = await createDelta(path, { ...ALL, from: a, to: b });
    expect(first.size).toBeLessThan(2000);
    const superblock = await Bun.file(join(path, first.path, "superblock")).bytes();
    const again = await createDelta(path, { ...ALL, from: a, to: b });
    expect(again).toEqual(first);
    expect(await Bun.file(join(path, first.path, "superblock")).bytes()).toEqual(superblock);
  });
});

test("repositories of other modes and unknown names are refused", async () => {
  using directory = tempDir();
  const bare = unpackRepository("bare-user", directory.path);
  await expect(createDelta(bare, { ...ALL, from: undefined, to: c1 })).rejects.toThrow("of mode archive");
  const archive = unpackRepository("archive", directory.path);
  await expect(createDelta(archive, { ...ALL, from: "nope", to: c1 })).rejects.toThrow("no ref 'nope'");
});

describe("copies and patches", () => {
  const made = (old: Uint8Array, young: Uint8Array) => {
    const { bytes } = makePatch(old, young, new StretchFinder(old).find(young));
    return Buffer.concat([...bspatch(memoryRange(old), memoryRange(bytes))]);
  };
  const text = fc.uint8Array({ maxLength: 600 });

  test("make the new file of the old one", () => {
    fc.assert(
      fc.property(
        text,
        fc.array(fc.tuple(fc.nat(600), fc.nat(600), fc.uint8Array({ maxLength: 40 }))),
        (old, edits) => {
          // Pieces of the old file in any order, with something new between them.
          const young = Buffer.concat(
            edits.flatMap(([start, length, inserted]) => [old.subarray(start, start + length), inserted]),
          );
          let at = 0;
          for (const { newStart, oldStart, length } of new StretchFinder(old).findSame(young)) {
            expect(newStart).toBeGreaterThanOrEqual(at);
            expect(
              Buffer.compare(
                young.subarray(newStart, newStart + length),
                old.subarray(oldStart, oldStart + length),
              ),
            ).toBe(0);
            at = newStart + length;
          }
          expect(Buffer.compare(made(old, young), young)).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("find what has only moved", () => {
    const old = Uint8Array.from({ length: 10_000 }, (_, i) => (i * i * 7919) >>> 7);
    const young = Buffer.concat([Buffer.from("new head"), old.subarray(3), Buffer.from("new tail")]);
    expect(new StretchFinder(old).findSame(young)).toEqual([{ newStart: 8, oldStart: 3, length: 9997 }]);
  });

  test("cost little where single bytes have changed all over", () => {
    const old = Uint8Array.from({ length: 10_000 }, (_, i) => (i * i * 7919) >>> 7);
    const young = old.slice();
    for (let i = 50; i < young.length; i += 97) young[i]!++;
    expect(makePatch(old, young, new StretchFinder(old).find(young)).cost).toBeLessThan(200);
    expect(Buffer.compare(made(old, young), young)).toBe(0);
  });
});
