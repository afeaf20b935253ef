import { describe, expect, test } from "bun:test";
import { checkStructure } from "../../src/erofs/canonical.ts";
import { BLOCK_SIZE, SUPERBLOCK } from "../../src/erofs/format.ts";
import { structureText } from "../../src/erofs/structure.ts";
import { writeImage } from "../../src/erofs/writer.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { corruptImage, corruptImageCases, fixture } from "./support/vectors.ts";

function differences(image: Uint8Array, most?: number): string[] {
  return checkStructure(image, SHA256, most).map(structureText);
}

/** Corrupt images that can be read, and the first thing that is wrong with them. */
const FIRST: Readonly<Record<string, string>> = {
  "header-flags-unknown.v1": "header flags 128 instead of 0",
  "header-unused-nonzero.v1": "reserved bytes of the header are not zero",
  "gap-nonzero.v1": "the bytes between header and superblock are not zero",
  "sb-checksum-nonzero.v1": "checksum 5 instead of 0",
  "sb-feature-compat-zero.v1": "feature_compat 0 instead of 6",
  "sb-inos-wrong.v1": "number of inodes 1 instead of 265",
  "sb-blocks-wrong.v2": "number of blocks 1000 instead of 1",
  "sb-incompat-chunked.v2": "feature_incompat 4 instead of 0",
  "sb-uuid-nonzero.v1": "reserved bytes of the superblock are not zero",
  "append-block.v1": "it has 20480 bytes instead of 16384",
  "truncate-last-byte.v2": "it has 4095 bytes instead of 4096",
  "dirent-filetype-wrong.v1": "/: its entry p has the file type 1 instead of 5",
  "dirent-reserved.v2": "/: the reserved byte of its entry p is not zero",
  "dirent-unsorted.v1": "/: its entries are not sorted: a0 stands where A belongs",
  "format-high-bits.v1": "/p: unknown bits are set in the format of its inode",
  "xattr-filter-wrong.v1": "/dir/sub: name filter 0 instead of 4286578687",
  "xattr-reserved.v2": "/dir/sub: reserved bytes or padding of its xattrs are not zero",
  "ext-as-plain.v1": "/ext: its data is plain instead of chunk-based",
  "redirect-mismatch.v2": "/ext: the xattr trusted.overlay.redirect has another value",
  "no-root-opaque.v1": "/: the xattr trusted.overlay.Xpaque does not belong there",
  "stub-not-chardev.v1": "/: its entry 7f has the file type 3 instead of 5",
};

describe("what is wrong with a corrupt image is said in words", () => {
  const bases = new Map(
    ["base.v1.erofs", "base.v2.erofs"].map((n) => [n, fixture(`invalid-images/${n}.zst`)]),
  );
  const cases = new Map(corruptImageCases().map((c) => [c.name, c]));
  test.each(Object.entries(FIRST))("%s", (name, text) => {
    const c = cases.get(name)!;
    expect(differences(corruptImage(bases.get(c.base)!, c))[0]).toBe(text);
  });
});

describe("structures of which no corrupt image tells", () => {
  const dumpfile = [
    "/ 0 40755 2 0 0 0 1.0 - - -",
    "/a 700 100644 1 7 8 0 2.5 - AAAA -".replace("AAAA", "x".repeat(700)),
    "/b 3000 100644 1 0 0 0 1.0 - BBBB -".replace("BBBB", "y".repeat(3000)),
    "/c 5 100644 1 0 0 0 1.0 - hello - user.a=1 user.bb=22 user.s=s",
    "/d 5 100644 1 0 0 0 1.0 - hello - user.s=s",
    "/e 9 100644 1 0 0 0 1.0 - - -",
    "",
  ].join("\n");
  const image = Buffer.from(writeImage(parseDumpfile(Buffer.from(dumpfile), SHA256), 1, SHA256));
  const changed = (at: number, value: number) => {
    const copy = Buffer.from(image);
    copy[at] = value;
    return copy;
  };
  /** Where the root's entries are; the root is the first inode. */
  const firstBlock = image.readUInt32LE(SUPERBLOCK.end + 16) * BLOCK_SIZE;
  const find = (text: string) => image.indexOf(text);

  test.each([
    ["data padding", find("y".repeat(3000)) + 3001, "/b: the padding behind its data is not zero"],
    ["xattr padding", find("a1\0") + 2, "/c: reserved bytes or padding of its xattrs are not zero"],
    ["between shared xattrs and data", firstBlock - 4, /^byte \d+ of the padding is 0x1 instead/],
  ])("%s", (_, at, text) => {
    const found = differences(changed(at, 1));
    expect(found).toHaveLength(1);
    if (typeof text === "string") expect(found[0]).toBe(text);
    else expect(found[0]).toMatch(text);
  });

  test("a right image has none", () => expect(differences(image)).toEqual([]));

  test("as many are named as asked for", () => {
    const copy = Buffer.from(image);
    for (const at of [8, 40, 2000, 1072]) copy[at] = 1;
    expect(differences(copy, 2)).toEqual([
      "header flags 1 instead of 0",
      "the bytes between header and superblock are not zero",
    ]);
  });
});
