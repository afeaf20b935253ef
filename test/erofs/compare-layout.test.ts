import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compareLayouts } from "../../src/erofs/compare-layout.ts";
import { explainImages } from "../../src/erofs/explain-images.ts";
import { HEADER } from "../../src/erofs/format.ts";
import { readImage } from "../../src/erofs/reader.ts";
import { algorithmOfImage } from "../../src/erofs/scan.ts";
import { writeImage } from "../../src/erofs/writer.ts";
import { CfsError } from "../../src/errors.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import type { Directory } from "../../src/tree/model.ts";
import { type Algorithm, SHA256, SHA512 } from "../../src/verity/digest.ts";
import { trees } from "../tree/support/arbitrary.ts";

const ID = "ab".repeat(32);
const object = (path: string, id: string, size = 5000) =>
  `${path} ${size} 100644 1 0 0 0 1.5 ${id.slice(0, 2)}/${id.slice(2)} - ${id}`;

function tree(lines: readonly string[], algorithm: Algorithm = SHA256): Directory {
  const text = ["/ 4096 40755 2 0 0 0 1.5 - - -", ...lines, ""].join("\n");
  return parseDumpfile(Buffer.from(text), algorithm);
}

const LINES = [
  "/d 4096 40755 2 0 0 0 1.5 - - - user.b=2 trusted.a=1",
  "/d/small 5 100644 1 0 0 0 1.5 - hello -",
  `${object("/d/large", ID)} security.x=1`,
  "/e 4096 40755 2 0 0 0 2.5 - - -",
  "/e/link 3 120777 1 0 0 0 1.5 foo - -",
  "/whiteout 0 20644 1 0 0 0 1.5 - - -",
];

const side = (bytes: Uint8Array, algorithm: Algorithm = SHA256) => ({ bytes, algorithm });
const aspects = (a: Uint8Array, b: Uint8Array) =>
  compareLayouts(side(a), side(b)).map(({ aspect }) => aspect);

describe("images of one tree", () => {
  test("that are the same", () => {
    const image = writeImage(tree(LINES), 1, SHA256);
    expect(compareLayouts(side(image), side(new Uint8Array(image)))).toEqual([]);
  });

  test("in format 0 and 1", () => {
    const [v0, v1] = [writeImage(tree(LINES), 0, SHA256), writeImage(tree(LINES), 1, SHA256)];
    const found = compareLayouts(side(v0), side(v1));
    expect(found).toContainEqual({
      aspect: "format",
      entry: undefined,
      count: 1,
      expected: "0",
      found: "1",
    });
    // The directory of a whiteout is marked as opaque in format 1 only.
    expect(found.find(({ aspect }) => aspect === "xattrs")).toMatchObject({ entry: "/", count: 1 });
  });

  test("in format 1 and 2", () => {
    const [v1, v2] = [writeImage(tree(LINES), 1, SHA256), writeImage(tree(LINES), 2, SHA256)];
    const found = new Map(compareLayouts(side(v1), side(v2)).map((d) => [d.aspect, d]));
    expect(found.get("entry")).toMatchObject({ expected: "there", found: "not there", count: 256 });
    expect(found.get("inode-order")).toMatchObject({
      expected: "breadth first (format 1)",
      found: "depth first (format 2)",
    });
    expect(found.get("inode-form")).toMatchObject({ expected: "compact", found: "extended" });
    // A file with a later time is extended in both.
    expect(found.get("inode-form")!.count).toBe(6);
    expect(found.get("time")).toMatchObject({ expected: "1.000000005", found: "1.000000000" });
    expect(found.get("xattr-order")).toMatchObject({ entry: "/d/large", count: 1 });
    expect(found.get("chunk-format")).toMatchObject({ entry: "/d/large", expected: "1", found: "31" });
    expect(found.get("mode")).toMatchObject({ entry: "/whiteout", expected: "100644", found: "20644" });
  });

  test("with digests of two algorithms", () => {
    const a = writeImage(tree([object("/f", ID)]), 1, SHA256);
    const b = writeImage(tree([object("/f", ID + ID)], SHA512), 1, SHA512);
    expect([algorithmOfImage(a), algorithmOfImage(b)]).toEqual([SHA256, SHA512]);
    expect(compareLayouts(side(a), side(b, SHA512))[0]).toMatchObject({
      aspect: "algorithm",
      expected: "sha256",
      found: "sha512",
    });
  });

  test("with content in the image and in an object", () => {
    const text = "x".repeat(100);
    const a = writeImage(tree([`/f 100 100644 1 0 0 0 1.5 - ${text} -`]), 1, SHA256);
    const b = writeImage(tree([object("/f", ID, 100)]), 1, SHA256);
    expect(compareLayouts(side(a), side(b))).toContainEqual({
      aspect: "content-place",
      entry: "/f",
      count: 1,
      expected: "behind the inode",
      found: "object",
    });
  });

  test("with other bytes where nothing is kept", () => {
    const a = writeImage(tree(LINES), 1, SHA256);
    const b = new Uint8Array(a);
    b[100] = 7;
    expect(compareLayouts(side(a), side(b))).toEqual([
      {
        aspect: "unused-bytes",
        entry: undefined,
        count: 1,
        expected: "0x0 at offset 100",
        found: "0x7 at offset 100",
      },
    ]);
  });

  test("with a flag in the header", () => {
    const a = writeImage(tree(LINES), 1, SHA256);
    const b = new Uint8Array(a);
    b[HEADER.flags] = 1;
    expect(aspects(a, b)).toEqual(["header-flags"]);
  });
});

describe("explanations", () => {
  const source = (root: Directory, image?: Uint8Array<ArrayBuffer>) => ({
    root,
    algorithm: SHA256,
    image: image && { version: readImage(image, SHA256).version, read: () => image },
  });

  test("a tree is made into an image of the other's format", () => {
    const root = tree(LINES);
    const { expected, found, differences } = explainImages(
      source(root, writeImage(root, 0, SHA256)),
      source(root),
      1,
    );
    expect(differences).toEqual([]);
    expect(found).toEqual({ ...expected, isMade: true });
  });

  test("an image that is not what its tree gives is named", () => {
    const root = tree(LINES);
    const image = writeImage(root, 1, SHA256);
    image[100] = 7;
    const { expected, found, differences } = explainImages(source(root, image), source(root), 1);
    expect(differences).toHaveLength(1);
    expect(expected.oddity).toStartWith("Invalid image: not what its tree gives when written");
    expect(found.oddity).toBeUndefined();
  });
});

test("whatever byte differs, there is something to say about it", () => {
  fc.assert(
    fc.property(
      trees(),
      fc.constantFrom(0 as const, 1 as const, 2 as const),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (root, version, position, change) => {
        const image = writeImage(root, version, SHA256);
        const damaged = new Uint8Array(image);
        damaged[position % image.length]! ^= change;
        try {
          expect(aspects(image, damaged)).not.toEqual([]);
          expect(aspects(damaged, image)).not.toEqual([]);
        } catch (error) {
          if (!(error instanceof CfsError)) throw error;
          expect(error.kind).toBe("Corrupt");
        }
      },
    ),
    { numRuns: 150 },
  );
}, 30_000);
