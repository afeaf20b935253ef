import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { CfsError } from "../../src/errors.ts";
import type { Checksum } from "../../src/ostree/checksum.ts";
import { bspatch } from "../../src/ostree/delta/bspatch.ts";
import { memoryRange } from "../../src/ostree/delta/byte-range.ts";
import { deltaSource, openDeltaFile } from "../../src/ostree/delta/delta-file.ts";
import { deltaDirectory } from "../../src/ostree/delta/names.ts";
import type { StoredPart } from "../../src/ostree/delta/part-content.ts";
import { type Delta, pullWithDelta } from "../../src/ostree/delta/pull-delta.ts";
import {
  countObjects,
  readSuperblock,
  SUPERBLOCK,
  type Superblock,
} from "../../src/ostree/delta/superblock.ts";
import { OperationReader, pushVarint } from "../../src/ostree/delta/varint.ts";
import { readGVariant, type Variant } from "../../src/ostree/gvariant.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { tempDir, tempDirInMemory } from "../support/temp.ts";
import { FIXTURES, fixtureJson, linksOf, newRepository, unpackRepository } from "./support.ts";

const deltaFile = (name: string) => new Uint8Array(readFileSync(join(FIXTURES, "deltas", name)));
const parseSuperblock = (bytes: Uint8Array) => readSuperblock(memoryRange(bytes));
const { commits } = fixtureJson<{
  commits: { archive: Readonly<Record<"c1" | "c2" | "c3", Checksum>> };
}>("expected.json");
const { c1, c2, c3 } = commits.archive;
const noPart = async (): Promise<StoredPart> => {
  throw new Error("all parts are in the superblock");
};

describe("superblocks", () => {
  test("name their commits, parts and objects", () => {
    const delta = parseSuperblock(deltaFile("good/scratch-c3-inline-3parts"));
    expect(delta.from).toBeUndefined();
    expect(delta.to).toBe(c3);
    expect(
      delta.parts.map(({ storedSize, contentSize, objects }) => [storedSize, contentSize, objects.length]),
    ).toEqual([
      [47049, 662236, 37],
      [357, 1400000, 1],
      [17541, 96997, 25],
    ]);
    expect(delta.parts.map(({ inline, storedSize }) => inline?.size === storedSize)).toEqual([
      true,
      true,
      true,
    ]);
    expect(countObjects(delta)).toEqual({ metadata: 19, files: 45 });
    expect(delta.signatures).toBeUndefined();
  });

  test("of machines of the other byte order have the same sizes", () => {
    const { parts } = parseSuperblock(deltaFile("good/scratch-c3-inline-bigendian"));
    expect(parts.map(({ storedSize, contentSize }) => [storedSize, contentSize])).toEqual([[61581, 2159233]]);
  });

  test("hand out the signatures around them", () => {
    const file = deltaFile("good/scratch-c1-signed-wrapper");
    const { to, signatures } = parseSuperblock(file);
    expect(to).toBe(c1);
    expect(signatures!.signatures.map(([method, { signature }]) => [method, signature])).toEqual([
      ["ostree.sign.ed25519", "aay"],
    ]);
    const { start, size } = signatures!.signed;
    expect(parseSuperblock(file.subarray(start, start + size)).to).toBe(c1);
  });

  test("lie where ostree looks for them", () => {
    using directory = tempDir();
    const archive = unpackRepository("archive", directory.path);
    const at = (from: Checksum | undefined, to: Checksum) =>
      openDeltaFile(join(archive, deltaDirectory(from, to), "superblock")).superblock;
    expect(at(undefined, c1).to).toBe(c1);
    expect(at(c1, c2).from).toBe(c1);
    const { fallbacks, parts } = at(c2, c3);
    expect(parts.map(({ inline }) => inline)).toEqual([undefined]);
    expect(fallbacks.map(({ type, contentSize }) => ({ type, contentSize }))).toEqual([
      { type: "file", contentSize: 1_400_000 },
    ]);
  });

  test("are read as the general reader of GVariants reads them", () => {
    const good = deltaFile("good/scratch-c3-inline-3parts");
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (seed, difference, atEnd) => {
        const changed = good.slice();
        // The framing, and the beginnings of everything, are near the end.
        changed[good.length - 1 - (seed % (atEnd ? 64 : good.length))]! ^= difference;
        let superblock: Superblock;
        try {
          superblock = parseSuperblock(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
          return;
        }
        const [metadata] = readGVariant(SUPERBLOCK, changed) as unknown as [[string, Variant][]];
        const parts = metadata.flatMap(([, { signature, bytes }]) =>
          signature === "(yay)" ? [Buffer.from(bytes).toString("hex")] : [],
        );
        const places = superblock.parts.flatMap(({ inline }) => inline ?? []);
        const found = places.map(({ start, size }) =>
          Buffer.from(changed).toString("hex", start, start + size),
        );
        expect(found).toEqual(parts);
      }),
      { numRuns: 1000, examples: [[2114979165, 128, false]] },
    );
  });

  test("with any change are refused, or are as good as before", () => {
    const good = deltaFile("bad/00-good");
    const { to } = parseSuperblock(good);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, difference) => {
        const changed = good.slice();
        changed[at]! ^= difference;
        try {
          expect(parseSuperblock(changed).to).toBe(to);
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test("objects that a delta lacks are fetched from the source", async () => {
  using directory = tempDir();
  const archive = unpackRepository("archive", directory.path);
  using repository = newRepository(directory.join("by-delta"), "sha256");
  using other = newRepository(directory.join("by-objects"), "sha256");
  await using source = LocalRepository.open(archive);
  await pullCommit(repository, source, c2, { jobs: 2 });
  await pullCommit(other, source, c2, { jobs: 2 });
  const delta = openDeltaFile(join(archive, deltaDirectory(c2, c3), "superblock"));
  const report = await pullWithDelta(repository, source, delta, { jobs: 2, ref: "new" });
  await pullCommit(other, source, c3, { jobs: 2, ref: "new" });
  expect(linksOf(repository.path)).toEqual(linksOf(other.path));
  expect({ metadata: report.metadata, files: report.files }).toEqual(countObjects(delta.superblock));
  const again = await pullWithDelta(repository, source, { ...delta, readPart: noPart }, { jobs: 2 });
  expect(again.unchanged).toBe(true);
});

test("the commit is looked at before any part is read", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  let isRead = false;
  const { superblock } = openDeltaFile(join(FIXTURES, "deltas/good/scratch-c3-split/superblock"));
  await using source = deltaSource("test", superblock);
  const readPart = async () => {
    isRead = true;
    return await noPart();
  };
  const onCommit = () => {
    throw new CfsError("Permission", "not signed");
  };
  await expect(pullWithDelta(repository, source, { superblock, readPart }, { onCommit })).rejects.toThrow(
    "not signed",
  );
  expect(isRead).toBe(false);
  expect(linksOf(repository.path)).toEqual({});
});

test("parts with any change are refused, and nothing is linked", async () => {
  using directory = tempDirInMemory(50_000_000);
  using repository = newRepository(directory.join("repo"), "sha256");
  const { superblock } = openDeltaFile(join(FIXTURES, "deltas/bad/01-uncompressed"));
  await using source = deltaSource("test", superblock);
  const [part] = superblock.parts;
  const { start, size } = part!.inline!;
  const good = deltaFile("bad/01-uncompressed").slice(start, start + size);
  const changedPart = (bytes: Uint8Array<ArrayBuffer>): Delta => {
    const checksum = new Bun.CryptoHasher("sha256").update(bytes).digest("hex") as Checksum;
    return {
      superblock: { ...superblock, parts: [{ ...part!, checksum, inline: undefined }] },
      readPart: async () => bytes,
    };
  };
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      async (at, difference, isCut) => {
        const bytes = isCut ? good.slice(0, at) : good.slice();
        if (!isCut) bytes[at]! ^= difference;
        try {
          await pullWithDelta(repository, source, changedPart(bytes), { jobs: 1 });
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
          expect(linksOf(repository.path)).toEqual({});
          return;
        }
        throw new Error(`a change of byte ${at} made no difference`);
      },
    ),
    { numRuns: 150 },
  );
});

describe("bspatch", () => {
  const record = (mix: number, copy: number, seek: number) => {
    const bytes = Buffer.alloc(24);
    for (const [i, value] of [mix, copy, seek].entries()) {
      bytes.writeBigUInt64LE(BigInt(Math.abs(value)), i * 8);
      if (value < 0) bytes[i * 8 + 7]! |= 0x80;
    }
    return bytes;
  };
  const patched = (old: string, ...patch: Uint8Array[]) =>
    Buffer.concat(
      [...bspatch(memoryRange(Buffer.from(old)), memoryRange(Buffer.concat(patch)))].map((b) => b.slice()),
    ).toString();

  test.each([
    ["adds to old bytes", "abc", [record(3, 0, 0), Buffer.from([0, 1, 255])], "acb"],
    ["copies new bytes", "abc", [record(0, 3, 0), Buffer.from("xyz")], "xyz"],
    [
      "moves in the old file",
      "abcdef",
      [record(2, 0, 2), Buffer.alloc(2), record(2, 0, -6), Buffer.alloc(2), record(1, 0, 0), Buffer.alloc(1)],
      "abefa",
    ],
    [
      "adds nothing beyond the old file",
      "ab",
      [record(1, 0, -3), Buffer.alloc(1), record(4, 0, 0), Buffer.from("zz\0\0")],
      "azzab",
    ],
    ["may be empty", "ab", [], ""],
  ] as [string, string, Uint8Array[], string][])("%s", (_, old, patch, expected) => {
    expect(patched(old, ...patch)).toBe(expected);
  });

  test.each([
    ["a record cut short", [Buffer.alloc(23)]],
    ["more bytes than there are", [record(1, 1, 0), Buffer.alloc(1)]],
    ["a negative length", [record(-1, 1, 0)]],
    ["a length that no file has", [Buffer.alloc(24, 0x7f)]],
  ])("refuses %s", (_, patch) => {
    expect(() => patched("abc", ...patch)).toThrow("bspatch failed");
  });
});

test("numbers of operations are read as they are written", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 2 ** 48 })), (numbers) => {
      const bytes: number[] = [];
      for (const number of numbers) pushVarint(bytes, number);
      const reader = new OperationReader(Uint8Array.from(bytes));
      expect(numbers.map(() => reader.number())).toEqual(numbers);
      expect(reader.isAtEnd).toBe(true);
    }),
  );
  expect(() => new OperationReader(Uint8Array.of(0x80)).number()).toThrow("past end");
  expect(() => new OperationReader(new Uint8Array(11).fill(0x80)).number()).toThrow("too long");
  expect(() => new OperationReader(new Uint8Array(9).fill(0xff)).number()).toThrow("too large");
});
