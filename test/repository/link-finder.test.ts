import { describe, expect, test } from "bun:test";
import { FrugalLinkFinder, ThoroughLinkFinder } from "../../src/repository/link-finder.ts";
import { emptyStatus, type FileStatus } from "../../src/sys/stat.ts";
import { type Leaf, leaf, NO_XATTRS } from "../../src/tree/model.ts";

function status(changes: Partial<FileStatus>): FileStatus {
  return { ...emptyStatus(), nlink: 1, ...changes };
}

function file(): Leaf {
  const stat = { mode: 0, uid: 0, gid: 0, mtime: 0n, mtimeNsec: 0, xattrs: NO_XATTRS };
  return leaf(stat, { type: "inline", data: "" });
}

const MANY = 200_000;

describe.each([FrugalLinkFinder, ThoroughLinkFinder])("%p", (Finder) => {
  test("finds files with several links by device and inode", () => {
    const finder = new Finder();
    const [a, b, c] = [file(), file(), file()];
    finder.add(status({ ino: 5, nlink: 2 }), a);
    finder.add(status({ ino: 5, nlink: 2, devMinor: 1 }), b);
    finder.add(status({ ino: 2 ** 63, largeIno: 2n ** 63n, nlink: 1 }), c);
    expect(finder.find(status({ ino: 5, nlink: 2 }))).toBe(a);
    expect(finder.find(status({ ino: 5, nlink: 2, devMinor: 1 }))).toBe(b);
    expect(finder.find(status({ ino: 2 ** 63, largeIno: 2n ** 63n }))).toBe(c);
    expect(finder.find(status({ ino: 2 ** 63, largeIno: 2n ** 63n + 1n }))).toBeUndefined();
    expect(finder.find(status({ ino: 6, nlink: 2 }))).toBeUndefined();
    expect(finder.hasMissed).toBe(false);
  });

  test("takes many files that are met once", () => {
    const finder = new Finder();
    const one = file();
    for (let i = MANY; i > 0; i--) finder.add(status({ ino: i }), one);
    for (let i = MANY; i > 0; i--) finder.add(status({ ino: i, devMinor: 1 }), one);
    expect(finder.hasMissed).toBe(false);
  });
});

describe("a file with one link that is met again", () => {
  test.each([
    ["mounted at two places", 1],
    ["linked meanwhile", 2],
  ])("%s", (_, nlink) => {
    const finder = new FrugalLinkFinder();
    for (let i = 1; i <= MANY; i++) finder.add(status({ ino: i }), file());
    expect(finder.find(status({ ino: 7, nlink }))).toBeUndefined();
    finder.add(status({ ino: 7, nlink }), file());
    expect(finder.hasMissed).toBe(true);
  });

  test("is found by who remembers all", () => {
    const finder = new ThoroughLinkFinder();
    const one = file();
    finder.add(status({ ino: 7 }), one);
    expect(finder.find(status({ ino: 7 }))).toBe(one);
  });
});
