import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { cfsctl } from "../support/cfsctl.ts";
import { tempDir } from "../support/temp.ts";
import {
  corruptImage,
  corruptImageCases,
  dumpfileCases,
  fixture,
  generatedCases,
  handMadeCases,
} from "./support/vectors.ts";

/**
 * What mkcomposefs and composefs-info of composefs 1.0.8 did with the recorded cases, and where ours, called by these
 * names, do something else: what composefs-rs 0.9.4 does, so that a dumpfile has one digest, whoever reads it.
 */

const scratch = tempDir();
afterAll(() => scratch[Symbol.dispose]());

/** The digest that our mkcomposefs prints, or "" when it refuses. */
function digestOf(dumpfile: Uint8Array | string, ...options: string[]): string {
  writeFileSync(scratch.join("dumpfile"), dumpfile);
  const args = ["--from-file", "--print-digest-only", ...options, scratch.join("dumpfile")];
  const { code, stdout } = cfsctl(args, { argv0: "mkcomposefs" });
  return code === 0 ? stdout.trim() : "";
}

const orRefused = (recorded: string) => (recorded.startsWith("error: ") ? "" : recorded);

/** Valid dumpfiles that the programs understand differently. */
const OTHER_IMAGES: Readonly<Record<string, string>> = {
  "mtime-negative-as-u64": "a negative time is no least time",
  "hardlink-out-of-order": "the first name of a file in the order of names is the one that has the content",
  "hardlink-nlink-wrong": "the number of links is counted",
  "xattr-acl-prefix-name": "attributes whose names begin as those of ACLs are marked as such",
  "xattr-60000": "an attribute may have 65535 bytes",
  "xattr-shared-129": "as many attributes are shared as fit",
  "xattr-shared-255": "as many attributes are shared as fit",
  "xattr-dup-key": "of an attribute given twice, the last value counts",
  "xattr-empty-key": "an attribute's name may be empty",
  "whiteout-stub-lookalike": "what only looks like the stub of a whiteout is kept as it is",
  "crlf-and-blank-lines": "blank lines are ignored",
};

describe("mkcomposefs", () => {
  test("made-up trees are the same to all programs", () => {
    for (const { name, sha256, c } of generatedCases()) {
      expect({ name, v0: c.v0, v1: c.v1 }).toEqual({ name, v0: sha256.v0.digest, v1: sha256.v1.digest });
      expect([c.v0, c.v1]).toContain(c.default);
    }
  });

  test("images of hand-made dumpfiles", () => {
    const others: string[] = [];
    for (const { name, dumpfile, sha256, c, c_agrees } of handMadeCases()) {
      const found = { default: digestOf(dumpfile), v0: c.v0, v1: c.v1 };
      if (c_agrees) {
        expect({ name, v0: c.v0, v1: c.v1 }).toEqual({ name, v0: sha256.v0.digest, v1: sha256.v1.digest });
      } else {
        found.v0 = digestOf(dumpfile, "--min-version=0", "--max-version=0");
        found.v1 = digestOf(dumpfile, "--min-version=1");
      }
      const versions = ["v0", "v1", "default"] as const;
      if (versions.some((version) => found[version] !== orRefused(c[version]))) others.push(name);
    }
    expect(others.sort()).toEqual(Object.keys(OTHER_IMAGES).sort());
  }, 30_000);

  /** Odd dumpfiles that composefs 1.0 takes and ours refuses, since they are not what the format says. */
  const REFUSED_HERE = `relative-path dash-path double-slash nul-in-path missing-payload missing-content
    missing-digest trailing-space size-negative size-overflow mode-too-big nlink-negative nlink-overflow uid-overflow
    gid-overflow rdev-on-file rdev-on-dir rdev-on-symlink rdev-on-fifo rdev-over-u32 mtime-nsec-1e9
    content-on-symlink digest-on-dir digest-on-symlink digest-inline digest-without-payload digest-short digest-long
    digest-odd digest-not-hex digest-escaped digest-sha512-len payload-empty-escape symlink-nul hardlink-forward
    hardlink-to-dir hardlink-relative-target hardlink-bad-size hardlinked-whiteout-nlink hardlinked-whiteout
    xattr-nul-key non-utf8-raw-byte`;
  /** Those that it refuses. */
  const TAKEN_HERE = `root-not-dir root-is-symlink root-hardlink root-twice root-twice-as-file inline-size-mismatch
    duplicate-dir-empty xattr-empty-key leading-blank-lines`;
  /** Those of which it makes another image. */
  const OTHER_HERE =
    "nlink-zero mtime-negative payload-and-content hardlink-short-line hardlink-xattrs-ignored";

  test("odd dumpfiles", () => {
    const found: Record<string, string[]> = { refused: [], taken: [], other: [] };
    for (const { name, input, input_base64, c } of dumpfileCases()) {
      const digest = digestOf(input ?? Buffer.from(input_base64 ?? "", "base64"), "--min-version=1");
      const expected = c.ok ? c.digest! : "";
      if (digest === expected) continue;
      found[digest === "" ? "refused" : expected === "" ? "taken" : "other"]!.push(name);
    }
    const names = (text: string) => text.split(/\s+/).sort();
    expect({
      refused: found.refused!.sort(),
      taken: found.taken!.sort(),
      other: found.other!.sort(),
    }).toEqual({
      refused: names(REFUSED_HERE),
      taken: names(TAKEN_HERE),
      other: names(OTHER_HERE),
    });
  }, 30_000);
});

/** Corrupt images that composefs 1.0 refuses; the tree in them can be read. */
const READ_HERE = ["symlink-size-0.v1", "symlink-size-0.v2", "truncate-last-byte.v2"];

test("composefs-info: a corrupt image that composefs 1.0 refuses is refused; what both read is the same", () => {
  const bases = new Map(
    ["base.v1.erofs", "base.v2.erofs"].map((name) => [name, fixture(`invalid-images/${name}.zst`)]),
  );
  const dump = (image: Uint8Array): string | undefined => {
    writeFileSync(scratch.join("image"), image);
    const { code, stdout } = cfsctl(["dump", scratch.join("image")], { argv0: "composefs-info" });
    return code === 0 ? stdout : undefined;
  };
  const ofBases = new Map([...bases].map(([name, image]) => [name, dump(image)]));
  const readHere: string[] = [];
  let refusedHere = 0;
  for (const c of corruptImageCases()) {
    const found = dump(corruptImage(bases.get(c.base)!, c));
    if (found === undefined) {
      if (c.c_dump.ok) refusedHere++;
    } else if (!c.c_dump.ok) {
      readHere.push(c.name);
    } else {
      const same = found === ofBases.get(c.base);
      expect({ name: c.name, same }).toEqual({ name: c.name, same: c.c_dump.same_as_base! });
    }
  }
  expect(readHere.sort()).toEqual(READ_HERE);
  // It reads past most of what is wrong.
  expect(refusedHere).toBe(74);
}, 30_000);
