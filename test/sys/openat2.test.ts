import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ELOOP, ENOENT, ENOTDIR, EXDEV, isErrno } from "../../src/sys/errno.ts";
import { Fd } from "../../src/sys/fd.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, open } from "../../src/sys/file.ts";
import { type Links, openBeneath, tryOpenBeneath, walkBeneath } from "../../src/sys/openat2.ts";
import { fstat } from "../../src/sys/stat.ts";
import { tempDir } from "../support/temp.ts";

const lab = tempDir();
const root = join(lab.path, "root");
let directory: Fd;

beforeAll(() => {
  mkdirSync(join(root, "a/b"), { recursive: true });
  writeFileSync(lab.join("secret"), "");
  writeFileSync(join(root, "file"), "");
  writeFileSync(join(root, "a/file"), "");
  const links: [string, string][] = [
    ["to-file", "file"],
    ["to-dir", "a"],
    ["a/up", "../file"],
    ["a/b/chain", "../../to-dir/up"],
    ["out", "../secret"],
    ["absolute", "/etc/passwd"],
    ["loop", "loop"],
    ["self", "."],
    ["dangling", "nothing"],
    ["slash", "file/"],
  ];
  for (const [name, target] of links) symlinkSync(target, join(root, name));
  directory = open(root, O_RDONLY | O_DIRECTORY);
});

afterAll(() => {
  directory.close();
  rmSync(lab.path, { recursive: true, force: true });
});

/** Inode that was opened, or the negative errno. */
function outcome(opener: typeof tryOpenBeneath, path: string, flags: number, links: Links): number {
  const result = opener(directory.fd, path, flags, links);
  if (result < 0) return result;
  using fd = new Fd(result, path);
  return fstat(fd).ino;
}

const inode = (path: string) => {
  using fd = open(join(root, path), O_PATH | O_NOFOLLOW);
  return fstat(fd).ino;
};

describe.each([
  ["openat2", tryOpenBeneath],
  ["without openat2", walkBeneath],
] as const)("opening beneath a directory: %s", (_, opener) => {
  test.each([
    ["file", "file"],
    ["a/../file", "file"],
    ["./a//file", "a/file"],
    ["to-file", "file"],
    ["to-dir/file", "a/file"],
    ["a/up", "file"],
    ["a/b/chain", "file"],
    ["self/self/to-dir/b/chain", "file"],
    [".", "."],
    ["a/b/../..", "."],
    ["to-dir/", "a"],
  ])("%s", (path, expected) => {
    expect(outcome(opener, path, O_RDONLY, "follow")).toBe(inode(expected));
  });

  test.each([
    ["..", -EXDEV],
    ["../root/file", -EXDEV],
    ["a/../../root/file", -EXDEV],
    ["/etc/passwd", -EXDEV],
    ["out", -EXDEV],
    ["absolute", -EXDEV],
    ["loop", -ELOOP],
    ["nothing", -ENOENT],
    ["dangling", -ENOENT],
    ["file/x", -ENOTDIR],
    ["file/", -ENOTDIR],
    ["slash", -ENOTDIR],
    ["file/..", -ENOTDIR],
    ["", -ENOENT],
  ])("%s is refused", (path, expected) => {
    expect(outcome(opener, path, O_RDONLY, "follow")).toBe(expected);
  });

  test("no link is followed where none is wanted", () => {
    expect(outcome(opener, "a/file", O_RDONLY, "refuse")).toBe(inode("a/file"));
    for (const path of ["to-file", "to-dir/file", "a/b/chain", "self"]) {
      expect(outcome(opener, path, O_RDONLY, "refuse")).toBe(-ELOOP);
    }
    expect(outcome(opener, "to-dir/up", O_PATH | O_NOFOLLOW, "follow")).toBe(inode("a/up"));
  });
});

test("both ways agree on every path", () => {
  const part = fc.constantFrom(
    "a",
    "b",
    "file",
    "up",
    "chain",
    "to-dir",
    "to-file",
    "self",
    "out",
    "..",
    ".",
    "",
    "slash",
    "dangling",
  );
  const flags = fc.constantFrom(O_RDONLY, O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_DIRECTORY);
  fc.assert(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 6 }),
      flags,
      fc.constantFrom<Links>("follow", "refuse"),
      (parts, flag, links) => {
        const path = parts.join("/");
        const expected = outcome(tryOpenBeneath, path, flag, links);
        const found = outcome(walkBeneath, path, flag, links);
        // Where both fail, the reason may depend on what is looked at first.
        if (expected < 0) expect(found).toBeLessThan(0);
        else expect(found).toBe(expected);
      },
    ),
    { numRuns: 1000 },
  );
});

test("errors name the path", () => {
  try {
    openBeneath(directory.fd, "out", O_RDONLY, "follow", "root/out").close();
    expect.unreachable();
  } catch (error) {
    expect(isErrno(error, EXDEV)).toBe(true);
    expect((error as Error).message).toStartWith("root/out: ");
  }
});
