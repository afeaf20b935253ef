import { describe, expect, test } from "bun:test";
import { checkCanonical } from "../../src/erofs/canonical.ts";
import { collectObjects } from "../../src/erofs/collect.ts";
import { ErofsImage } from "../../src/erofs/image.ts";
import { readImage } from "../../src/erofs/reader.ts";
import { writeImage } from "../../src/erofs/writer.ts";
import { CfsError, describeError } from "../../src/errors.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import type { Directory } from "../../src/tree/model.ts";
import { externalObjects } from "../../src/tree/walk.ts";
import { objectPath, SHA256, SHA512 } from "../../src/verity/digest.ts";
import {
  corruptImage,
  corruptImageCases,
  dumpfileFor,
  fixture,
  generatedCases,
  handMadeCases,
  infoCases,
  type Outcome,
  VERSIONS,
} from "./support/vectors.ts";

const ROOT = "/ 0 40755 2 0 0 0 1.0 - - -\n";

function dumpOf(root: Directory): string {
  return [...dumpTree(root)].join("");
}

describe("images of the reference", () => {
  for (const { image, dump, objects } of infoCases()) {
    test(image, () => {
      const bytes = fixture(`images/${image}.zst`);
      const { root } = readImage(bytes, SHA256);
      expect(dumpOf(root)).toBe(dump);
      expect(
        externalObjects(root)
          .map((id) => `${objectPath(id)}\n`)
          .join(""),
      ).toBe(objects);
      // The collector also counts objects whose digest is not enforced.
      const collected = new Set(collectObjects(bytes, SHA256).map(objectPath));
      for (const path of objects.split("\n")) if (path !== "") expect(collected).toContain(path);
      checkCanonical(bytes, SHA256);
    });
  }

  test("at an odd place in memory", () => {
    const image = fixture("images/every-type.sha256.v1.erofs.zst");
    const moved = Buffer.concat([Buffer.from("x"), image]).subarray(1);
    expect(dumpOf(readImage(moved, SHA256).root)).toBe(dumpOf(readImage(image, SHA256).root));
  });

  test("sha512", () => {
    const bytes = fixture("images/every-type.sha512.v2.erofs.zst");
    checkCanonical(bytes, SHA512);
    expect(collectObjects(bytes, SHA512).map((id) => id.length)).toEqual([128, 128]);
    expect(() => readImage(bytes, SHA256)).toThrow("reading root directory");
  });

  test("a real /usr/share", () => {
    const dumpfile = fixture("large.dump.zst");
    const expected = JSON.parse(fixture("large.json").toString());
    const image = writeImage(parseDumpfile(dumpfile, SHA256), 1, SHA256);
    expect(dumpOf(readImage(image, SHA256).root)).toBe(dumpfile.toString());
    const objects = collectObjects(image, SHA256).map((id) => `${objectPath(id)}\n`);
    expect(objects.length).toBe(expected.v1_info.objects.lines);
    const hash = new Bun.CryptoHasher("sha256").update(objects.join("")).digest("hex");
    expect(hash).toBe(expected.v1_info.objects.sha256);
  });
});

/** What `cfsctl dump-files` and garbage collection must find in the right order of causes. */
function causes({ stderr, cause }: Outcome): string {
  const text = stderr?.split("Caused by:\n")[1] ?? cause ?? "";
  return text
    .split("\n")
    .map((line) => line.replace(/^ {4}(\d+: )?/, ""))
    .filter((line) => line !== "")
    .join(": ")
    .replaceAll(/Invalid image: (Invalid image|Offset out)/g, "$1");
}

/** Forged images that the reference takes, or refuses for a reason found later; with our text. */
const READ_DIFFERENTLY: Record<string, RegExp> = {
  "name-with-slash": /^reading root directory: Invalid filename "\/"$/,
  "name-nul": /^reading root directory: Invalid filename "\\x00"$/,
  "root-not-dir": /^Invalid image: root inode is not a directory$/,
  "symlink-nul": /symlink target for "link" holds a NUL byte$/,
  "file-nlink-1": /on-disk nlink is 1, but found 2 reference\(s\) in the directory tree$/,
  "dir-hardlink": /^reading root directory: reading directory "zdir": Hardlinked directories detected$/,
  "dir-loop": /reading directory "dir": reading directory "sub": Hardlinked directories detected$/,
};

/** Where the reference counts the entries of a root that it failed to read; we say why it can't be read. */
const COLLECTED_DIFFERENTLY: Record<string, RegExp> = {
  "sb-root-nid-zero.v1": /^Invalid image: invalid data layout in inode format$/,
  "sb-root-nid-beyond.v1": /^Invalid inode: 65535$/,
  "truncate-half.v1": /^Invalid image: inode block range 3..4 exceeds image \(2 blocks\)$/,
  "truncate-last-byte.v1": /^Invalid image: inode block range 3..4 exceeds image \(3 blocks\)$/,
  "root-not-dir.v1": /^Invalid image: root inode is not a directory$/,
  "root-not-dir.v2": /^Invalid image: root inode is not a directory$/,
};

function failure(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return describeError(error);
  }
  return "";
}

describe("damaged images", () => {
  const bases = new Map(
    ["base.v1.erofs", "base.v2.erofs"].map((n) => [n, fixture(`invalid-images/${n}.zst`)]),
  );
  for (const c of corruptImageCases()) {
    const base = bases.get(c.base)!;
    const image = corruptImage(base, c);
    test(`tree: ${c.name}: ${c.desc}`, () => {
      const differently = READ_DIFFERENTLY[c.name.replace(/\.v[12]$/, "")];
      const found = failure(() => readImage(image, SHA256));
      if (differently !== undefined) {
        expect(found).toMatch(differently);
      } else {
        expect(found).toBe(causes(c.dump));
        if (c.dump.same_as_base) {
          expect(dumpOf(readImage(image, SHA256).root)).toBe(dumpOf(readImage(base, SHA256).root));
        }
      }
    });

    test(`objects: ${c.name}`, () => {
      const differently = COLLECTED_DIFFERENTLY[c.name];
      const found = failure(() => collectObjects(image, SHA256));
      if (differently !== undefined) {
        expect(found).toMatch(differently);
      } else {
        expect(found).toBe(causes(c.collect_objects));
        if (c.collect_objects.same_as_base) {
          expect(collectObjects(image, SHA256)).toEqual(collectObjects(base, SHA256));
        }
      }
    });

    // Without whiteouts only the label tells versions 0 and 1 apart: the result is a right image of the other.
    if (c.name === "version-0-header.v1") continue;
    test(`canonical: ${c.name}`, () => {
      expect(failure(() => checkCanonical(image, SHA256))).not.toBe("");
    });
  }

  test("the undamaged images", () => {
    for (const base of bases.values()) checkCanonical(base, SHA256);
  });

  test.each(["dir-doubling-40.v1", "root-loop.v1"])("%s is refused at once", (name) => {
    const image = fixture(`invalid-images/${name}.erofs.zst`);
    const start = performance.now();
    expect(failure(() => readImage(image, SHA256))).toEndWith("Hardlinked directories detected");
    expect(collectObjects(image, SHA256).length).toBeLessThan(2);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe("limits", () => {
  const nested = (depth: number) => {
    let lines = ROOT;
    let path = "";
    for (let i = 0; i < depth; i++) {
      path += "/d";
      lines += `${path} 0 40755 2 0 0 0 1.0 - - -\n`;
    }
    return writeImage(parseDumpfile(Buffer.from(lines), SHA256), 1, SHA256);
  };

  test("depth", () => {
    const image = nested(2040);
    expect(readImage(image, SHA256).version).toBe(1);
    const limits = { depth: 2000, entries: 1e6, size: 1e9 };
    expect(failure(() => readImage(image, SHA256, limits))).toEndWith("Maximum directory depth exceeded");
  });

  test("entries and size", () => {
    const image = nested(10);
    const limits = { depth: 2048, entries: 1e6, size: 1e9 };
    expect(failure(() => readImage(image, SHA256, { ...limits, entries: 100 }))).toContain("more than 100");
    expect(failure(() => readImage(image, SHA256, { ...limits, size: 8192 }))).toContain(
      "exceeds maximum 8192",
    );
  });
});

describe("forged images cost no more than their size", () => {
  /** Two files of one block each, whose inodes then claim the whole image. */
  function overlapping(): Buffer {
    const lines = ["a", "b"].map((n) => `/${n} 0 100644 1 0 0 0 1.0 - ${n.repeat(4096)} -\n`).join("");
    const image = Buffer.from(writeImage(parseDumpfile(Buffer.from(ROOT + lines), SHA256), 1, SHA256));
    const reader = new ErofsImage(image);
    for (const { name, nid } of reader.dirents(reader.inode(reader.rootNid))) {
      if (name !== "a" && name !== "b") continue;
      image.writeUInt32LE(image.length, nid * 32 + 8);
      image.writeUInt32LE(0, nid * 32 + 16);
    }
    return image;
  }

  test("files that share blocks", () => {
    expect(failure(() => readImage(overlapping(), SHA256))).toEndWith("Invalid image: structures overlap");
  });
});

describe("writing what was read gives the same bytes", () => {
  for (const c of [...handMadeCases(), ...generatedCases()]) {
    test(c.name, () => {
      for (const algorithm of [SHA256, SHA512]) {
        for (const version of VERSIONS) {
          const root = parseDumpfile(dumpfileFor(algorithm, c.dumpfile), algorithm);
          const image = writeImage(root, version, algorithm);
          checkCanonical(image, algorithm);
          collectObjects(image, algorithm);
        }
      }
    });
  }
});

describe("the canonical check tells whiteouts from look-alikes", () => {
  const markers = "trusted.overlay.whiteout= user.overlay.whiteout=";
  const ofDirectory =
    "trusted.overlay.whiteouts= user.overlay.whiteouts= trusted.overlay.opaque=x user.overlay.opaque=x";
  const cases: Record<string, string> = {
    "file with a whiteout's xattrs": `/f 0 100644 1 0 0 0 1.0 - - - ${markers}\n`,
    "in a directory with a whiteout directory's xattrs": `/d 0 40755 2 0 0 0 1.0 - - - ${ofDirectory}\n/d/f 0 100644 1 0 0 0 1.0 - - - ${markers}\n`,
    "whiteout beside such a file":
      `/d 0 40755 2 0 0 0 1.0 - - - ${ofDirectory}\n/d/f 0 100644 1 0 0 0 1.0 - - - ${markers}\n` +
      "/d/w 0 20644 1 0 0 0 1.0 - - -\n",
    "whiteout with markers of its own": `/w 0 20644 1 0 0 0 1.0 - - - ${markers}\n`,
    "marker with another value": "/w 0 20644 1 0 0 0 1.0 - - - user.overlay.whiteout=no\n",
    "hard-linked file with them": `/f 0 100644 2 0 0 0 1.0 - - - ${markers}\n/g 0 @120000 - - - - 0.0 /f - -\n`,
    "stub with another mode": "/7f 0 20600 1 0 0 0 1.0 - - -\n",
    "stub's equal": "/7f 0 20644 1 0 0 0 1.0 - - -\n",
    "file in place of a stub": `/7f 0 100644 1 0 0 0 1.0 - - - ${markers}\n`,
    "opaque directory": "/d 0 40755 2 0 0 0 1.0 - - - trusted.overlay.opaque=y\n",
  };
  for (const [name, lines] of Object.entries(cases)) {
    test.each(VERSIONS)(`${name}, version %d`, (version) => {
      checkCanonical(writeImage(parseDumpfile(Buffer.from(ROOT + lines), SHA256), version, SHA256), SHA256);
    });
  }

  test("root that looks like a whiteout's directory with a stub's look-alike", () => {
    const root = ROOT.replace(" -\n", ` - ${ofDirectory}\n`);
    const lines = `${root}/7f 0 100644 1 0 0 0 1.0 - - - ${markers}\n`;
    checkCanonical(writeImage(parseDumpfile(Buffer.from(lines), SHA256), 1, SHA256), SHA256);
  });
});

describe("what only the object check looks at", () => {
  const patched = (lines: string, rdev: number) => {
    const image = Buffer.from(writeImage(parseDumpfile(Buffer.from(ROOT + lines), SHA256), 1, SHA256));
    const number = Buffer.alloc(4);
    number.writeUInt32LE(rdev);
    image.writeUInt32LE(0, image.indexOf(number));
    return image;
  };

  test("a native whiteout below the root, as the reference says", () => {
    const image = patched(
      "/d 0 40755 2 0 0 0 1.0 - - -\n/d/w 0 20644 1 0 0 305419896 1.0 - - -\n",
      305419896,
    );
    expect(failure(() => collectObjects(image, SHA256))).toBe(
      "Invalid image: Epoch1 image contains native whiteout outside root stubs",
    );
  });

  test("one in the root is none of its business", () => {
    const image = patched("/w 0 20644 1 0 0 305419896 1.0 - - -\n", 305419896);
    expect(collectObjects(image, SHA256)).toEqual([]);
  });

  test("an escaped whiteout in version 2", () => {
    const lines = `${ROOT}/w 0 100644 1 0 0 0 1.0 - - - trusted.overlay.whiteout= user.overlay.whiteout=\n`;
    const image = writeImage(parseDumpfile(Buffer.from(lines), SHA256), 2, SHA256);
    expect(failure(() => collectObjects(image, SHA256))).toBe(
      "Invalid image: Epoch2 image contains escaped whiteout",
    );
  });
});
