import { describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import fc from "fast-check";
import { sparseExpander } from "../../src/oci/sparse.ts";
import type { SparseRun, TarEntry } from "../../src/tar/entry.ts";
import { emptyEntry } from "../../src/tar/entry.ts";
import { type ObjectId, objectPath, SHA256 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { Scratch } from "../repository/support.ts";
import { newRepository } from "./support.ts";

function sparse(realSize: number, runs: readonly SparseRun[] | "in-body", size: number): TarEntry {
  return { ...emptyEntry(), path: "s", size, sparse: { realSize, runs } };
}

function expanded(realSize: number, runs: readonly SparseRun[], stored: Uint8Array): Uint8Array {
  const file = new Uint8Array(realSize);
  let from = 0;
  for (const { offset, length } of runs) {
    file.set(stored.subarray(from, from + length), offset);
    from += length;
  }
  return file;
}

describe("sparse files", () => {
  const gaps = fc.array(fc.tuple(fc.nat(9000), fc.nat(9000)), { maxLength: 6 });

  test("are expanded to what a reader would see", () => {
    using scratch = new Scratch();
    using repository = newRepository(scratch.join("r"), SHA256);
    const { objects } = repository;
    fc.assert(
      fc.property(gaps, fc.nat(20_000), fc.boolean(), (pieces, hole, inBody) => {
        const runs: SparseRun[] = [];
        let end = 0;
        for (const [gap, length] of pieces) {
          runs.push({ offset: end + gap, length });
          end += gap + length;
        }
        const realSize = end + hole;
        const data = new Uint8Array(runs.reduce((sum, { length }) => sum + length, 0));
        for (let i = 0; i < data.length; i++) data[i] = (i * 7 + 1) & 0xff;
        let stored = data;
        if (inBody) {
          const text = `${runs.length}\n${runs.map(({ offset, length }) => `${offset}\n${length}\n`).join("")}`;
          const map = new Uint8Array(Math.ceil(text.length / 512) * 512);
          map.set(Buffer.from(text));
          stored = new Uint8Array(Buffer.concat([map, data]));
        }
        const { id } = objects.storeBytes(stored);
        const content = { type: "object", id, size: stored.length } as const;
        const entry = sparse(realSize, inBody ? "in-body" : runs, stored.length);
        const file = expanded(realSize, runs, data);
        const computed = sparseExpander(objects, "compute")(entry, content);
        expect(sparseExpander(objects, "store")(entry, content)).toEqual(computed);
        if (realSize <= 64) {
          expect(computed).toEqual({ type: "inline", data: Buffer.from(file).toString("latin1") });
          return;
        }
        const fileId = fsVerityDigest(file, SHA256);
        expect(computed).toEqual({ type: "external", id: fileId, size: BigInt(realSize) });
        expect(readFileSync(scratch.join("r/objects", objectPath(fileId))).equals(file)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test("holes of gigabytes take no room and little time", () => {
    using scratch = new Scratch();
    using repository = newRepository(scratch.join("r"), SHA256);
    const realSize = 4 * 1024 ** 3 + 1;
    const entry = sparse(realSize, [{ offset: 5, length: 3 }], 3);
    const content = sparseExpander(repository.objects, "store")(entry, { type: "inline", data: "abc" });
    if (content.type !== "external") throw new Error("unexpected");
    const status = statSync(scratch.join("r/objects", objectPath(content.id)));
    expect(status.size).toBe(realSize);
    expect(status.blocks * 512).toBeLessThan(1024 * 1024);
  });

  test.each([
    ["a size beyond reason", sparse(2 ** 52, [], 0), "", "too large to expand"],
    ["a map in the body that lies", sparse(100, "in-body", 512), "1\n90\n20\n".padEnd(512, "\0"), "outside"],
    ["a map that is cut", sparse(100, "in-body", 4), "1\n9", "a number is expected"],
  ])("refused: %s", (_, entry, data, message) => {
    using scratch = new Scratch();
    using repository = newRepository(scratch.join("r"), SHA256);
    const expand = sparseExpander(repository.objects, "compute");
    expect(() => expand(entry, { type: "inline", data })).toThrow(message);
  });

  test("a stored body that is missing is named", () => {
    using scratch = new Scratch();
    using repository = newRepository(scratch.join("r"), SHA256);
    const id = "ab".repeat(32) as ObjectId;
    const expand = sparseExpander(repository.objects, "compute");
    expect(() => expand(sparse(1000, [], 0), { type: "object", id, size: 0 })).toThrow("is missing");
  });
});
