import { describe, expect, test } from "bun:test";
import { checkCanonical } from "../../src/erofs/canonical.ts";
import type { FormatVersion } from "../../src/erofs/format.ts";
import { writeImage } from "../../src/erofs/writer.ts";
import { describeError } from "../../src/errors.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import { type Directory, leaf } from "../../src/tree/model.ts";
import { type Algorithm, SHA256, SHA512 } from "../../src/verity/digest.ts";
import {
  dumpfileFor,
  fixture,
  generatedCases,
  handMadeCases,
  type ImageCase,
  infoCases,
  VERSIONS,
} from "./support/vectors.ts";
import { verityOracle } from "./support/verity.ts";

const ROOT = "/ 0 40755 2 0 0 0 1.0 - - -\n";
const HEX = "0123456789abcdef".repeat(4);

function tree(lines: string, algorithm: Algorithm = SHA256): Directory {
  return parseDumpfile(Buffer.from(ROOT + lines), algorithm);
}

function results(c: ImageCase, algorithm: Algorithm): Record<string, { digest: string; size: number }> {
  return Object.fromEntries(
    VERSIONS.map((version) => {
      const image = writeImage(
        parseDumpfile(dumpfileFor(algorithm, c.dumpfile), algorithm),
        version,
        algorithm,
      );
      return [`v${version}`, { digest: verityOracle(image, algorithm), size: image.length }];
    }),
  );
}

describe("digests of images made by the reference", () => {
  for (const c of [...handMadeCases(), ...generatedCases()]) {
    test(c.name, () => {
      expect(results(c, SHA256)).toEqual(c.sha256);
      expect(results(c, SHA512)).toEqual(c.sha512);
    });
  }

  test("a real /usr/share", () => {
    const dumpfile = fixture("large.dump.zst").toString();
    const expected = JSON.parse(fixture("large.json").toString());
    const c: ImageCase = { name: "large", note: "", dumpfile, ...expected };
    expect(results(c, SHA256)).toEqual(expected.sha256);
    expect(results(c, SHA512)).toEqual(expected.sha512);
  }, 20_000);
});

describe("images made by the reference, byte for byte", () => {
  const byName = new Map(handMadeCases().map((c) => [c.name, c]));
  for (const image of [...infoCases().map((c) => c.image), "every-type.sha512.v1.erofs"]) {
    test(image, () => {
      const [name, hash, version] = image.split(".");
      const algorithm = hash === "sha256" ? SHA256 : SHA512;
      const dumpfile = dumpfileFor(algorithm, byName.get(name!)!.dumpfile);
      const format = Number(version![1]) as FormatVersion;
      const written = writeImage(parseDumpfile(dumpfile, algorithm), format, algorithm);
      expect(Buffer.compare(written, fixture(`images/${image}.zst`))).toBe(0);
    });
  }
});

test("the tree stays as it was", () => {
  const root = tree("/d 0 40755 2 0 0 0 2.0 - - -\n/d/w 0 20644 1 0 0 0 2.0 - - -\n");
  const before = structuredClone(root);
  writeImage(root, 1, SHA256);
  expect(root).toEqual(before);
});

describe("what C mkcomposefs writes and the reference refuses", () => {
  test("inline content of more than 512 bytes", () => {
    const image = writeImage(tree(`/a 513 100644 1 0 0 0 1.0 - ${"x".repeat(513)} -\n`), 1, SHA256);
    checkCanonical(image, SHA256);
    expect(() => writeImage(tree(`/a 513 100644 1 0 0 0 1.0 - ${"x".repeat(513)} -\n`), 2, SHA256)).toThrow(
      "/a",
    );
  });
});

describe("what no valid image can hold is refused", () => {
  const xattrs = (count: number, value: string) =>
    Array.from({ length: count }, (_, i) => `user.${i}=${value}`).join(" ");
  const shared = (count: number) =>
    `/a 0 100644 1 0 0 0 1.0 - - - ${xattrs(count, "v")}\n/b 0 100644 1 0 0 0 1.0 - - - ${xattrs(count, "v")}\n`;
  const cases: [string, string, RegExp][] = [
    [
      "name of 256 bytes",
      `/${"n".repeat(256)} 0 100644 1 0 0 0 1.0 - - -\n`,
      /^\/: file name "n+…" is 256 bytes long; the limit is 255/,
    ],
    ["device above 32 bits", "/a 0 20777 1 0 0 4294967296 1.0 - - -\n", /^\/a: device number 4294967296/],
    ["256 shared xattrs", shared(256), /^\/a: 256 xattrs/],
    [
      "xattr area",
      `/a 0 100644 1 0 0 0 1.0 - - - ${xattrs(5, "v".repeat(60000))}\n`,
      /^\/a: xattrs of one file take/,
    ],
    [
      "hard-linked whiteout",
      "/b 0 20600 1 0 0 0 1.0 - - -\n/c 0 @20600 - - - - 0.0 /b - -\n",
      /whiteout inode has nlink > 1/,
    ],
  ];
  for (const [name, lines, message] of cases) {
    test.each([0, 1, 2] as const)(`${name}, version %d`, (version) => {
      expect(() => writeImage(tree(lines), version, SHA256)).toThrow(
        expect.objectContaining({ name: "CfsError" }),
      );
      try {
        writeImage(tree(lines), version, SHA256);
      } catch (error) {
        expect(describeError(error)).toMatch(message);
      }
    });
  }

  test("255 shared xattrs are all right", () => {
    checkCanonical(writeImage(tree(shared(255)), 1, SHA256), SHA256);
  });

  test("more than 1024 chunks", () => {
    const size = 2n ** 53n + 1n;
    const lines = `/a ${size} 100644 1 0 0 0 1.0 01/${HEX.slice(2)} - ${HEX}\n`;
    expect(() => writeImage(tree(lines), 1, SHA256)).toThrow("/a");
    checkCanonical(writeImage(tree(lines), 2, SHA256), SHA256);
  });

  test.each(["", ".", "..", "a/b", "a\0b"])("name %j", (name) => {
    const root = tree("");
    root.entries.set(name, leaf(root.stat, { type: "fifo" }));
    expect(() => writeImage(root, 1, SHA256)).toThrow(/^\/$/);
  });
});
