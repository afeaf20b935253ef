import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkCanonical } from "../../src/erofs/canonical.ts";
import { collectObjects } from "../../src/erofs/collect.ts";
import { readImage } from "../../src/erofs/reader.ts";
import { writeImage } from "../../src/erofs/writer.ts";
import { xxh32 } from "../../src/erofs/xxh32.ts";
import { CfsError } from "../../src/errors.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import type { Directory } from "../../src/tree/model.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { trees } from "../tree/support/arbitrary.ts";
import { corruptImageCases, fixture, VERSIONS } from "./support/vectors.ts";

const version = fc.constantFrom(...VERSIONS);

/** Whiteouts of such names in the root are lost when read. */
function hasStubNames(root: Directory): boolean {
  return [...root.entries.keys()].some((name) => /^[0-9a-fA-F]{2}$/.test(name));
}

function dumpOf(root: Directory): string {
  return [...dumpTree(root)].join("");
}

describe("random trees", () => {
  test("an image holds what was written, and is canonical", () => {
    fc.assert(
      fc.property(trees(), version, (root, v) => {
        const image = writeImage(root, v, SHA256);
        expect(image.length % 4096).toBe(0);
        checkCanonical(image, SHA256);
        const read = readImage(image, SHA256);
        expect(read.version).toBe(v);
        // Written again from what was read: the same image, but for whiteouts of the root named like stubs.
        const again = writeImage(read.root, v, SHA256);
        if (!hasStubNames(root)) expect(Buffer.compare(again, image)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test("dumping what was read gives the dump of what was written", () => {
    fc.assert(
      fc.property(trees(), fc.constantFrom(0 as const, 1 as const), (root, v) => {
        fc.pre(!hasStubNames(root));
        const read = readImage(writeImage(root, v, SHA256), SHA256).root;
        expect(dumpOf(read)).toBe(dumpOf(root));
      }),
      { numRuns: 200 },
    );
  });
});

describe("damaged bytes", () => {
  const bases = ["base.v1.erofs.zst", "base.v2.erofs.zst"].map((n) => fixture(`invalid-images/${n}`));
  const others = ["every-type", "xattr-shared", "hardlink-types", "whiteout-subdir"].flatMap((n) =>
    [1, 2].map((v) => fixture(`images/${n}.sha256.v${v}.erofs.zst`)),
  );
  const images = [...bases, ...others];
  /** Where the structures are: patches in padding teach little. */
  const used = images.map((image) => {
    const offsets: number[] = [];
    for (let i = 0; i < image.length; i++) if (image[i] !== 0) offsets.push(i);
    return offsets;
  });

  const onlyOurErrors = (work: () => unknown) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
    }
  };

  test("give a tree or an error of ours, and soon", () => {
    const patch = fc.tuple(fc.nat(), fc.integer({ min: -8, max: 8 }), fc.nat(255));
    fc.assert(
      fc.property(
        fc.nat(images.length - 1),
        fc.array(patch, { minLength: 1, maxLength: 6 }),
        fc.option(fc.nat(16384), { freq: 8 }),
        (which, patches, cut) => {
          const image = Buffer.from(images[which]!);
          for (const [at, delta, value] of patches) {
            const offset = used[which]![at % used[which]!.length]! + delta;
            if (offset >= 0 && offset < image.length) image[offset] = value;
          }
          const bytes = cut === null ? image : image.subarray(0, cut);
          onlyOurErrors(() => writeImage(readImage(bytes, SHA256).root, 1, SHA256));
          onlyOurErrors(() => collectObjects(bytes, SHA256));
          onlyOurErrors(() => checkCanonical(bytes, SHA256));
        },
      ),
      { numRuns: 3000 },
    );
  }, 20_000);

  test("no single changed byte of an image passes the canonical check, or reads as another image", () => {
    const image = Buffer.from(images[0]!);
    let accepted = 0;
    for (const offset of used[0]!) {
      const byte = image[offset]!;
      image[offset] = byte ^ 0x10;
      try {
        checkCanonical(image, SHA256);
        accepted++;
      } catch (error) {
        expect(error).toBeInstanceOf(CfsError);
      }
      image[offset] = byte;
    }
    // A changed name, mode, owner, time, digest, … is another valid image; most bytes are structure.
    expect(accepted).toBeLessThan(used[0]!.length / 4);
  });

  test("the patches of the reference's corrupt images, on other images", () => {
    for (const { patch } of corruptImageCases()) {
      for (const base of others) {
        const image = Buffer.from(base);
        for (const [offset, hex] of patch)
          if (offset + hex.length / 2 <= image.length) image.hexWrite(hex, offset);
        onlyOurErrors(() => readImage(image, SHA256));
        onlyOurErrors(() => collectObjects(image, SHA256));
      }
    }
  });

  test("random bytes behind a right header", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2048, maxLength: 4096 }), fc.nat(2), (noise, v) => {
        const image = Buffer.alloc(8192);
        image.set(bases[0]!.subarray(0, 1152));
        image[12] = v;
        image.set(noise, 1152);
        onlyOurErrors(() => readImage(image, SHA256));
        onlyOurErrors(() => collectObjects(image, SHA256));
      }),
      { numRuns: 300 },
    );
  });
});

test("the hash of xattr names is xxHash32", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(0xffffffff), (bytes, seed) => {
      expect(xxh32(Buffer.from(bytes).latin1Slice(), seed)).toBe(Bun.hash.xxHash32(bytes, seed));
    }),
  );
});
