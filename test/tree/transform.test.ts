import { describe, expect, test } from "bun:test";
import { dumpTree } from "../../src/tree/dump.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import type { Directory } from "../../src/tree/model.ts";
import {
  applyOciTransform,
  canonicalizeRun,
  copyRootFromUsr,
  defaultRootStat,
  filterXattrs,
  parseXattrFilter,
} from "../../src/tree/transform.ts";
import { SHA256 } from "../../src/verity/digest.ts";

function tree(lines: string): Directory {
  return parseDumpfile(Buffer.from(lines), SHA256);
}

function dumpOf(root: Directory): string {
  return [...dumpTree(root)].join("");
}

const FULL =
  "/ 0 40700 5 1 2 0 1.5 - - - user.root=1\n" +
  "/run 0 41777 3 3 4 0 9.9 - - - user.run=1\n" +
  "/run/lock 0 40755 2 0 0 0 1.0 - - -\n" +
  "/usr 0 40755 3 5 6 0 7.8 - - - security.capability=c security.selinux=s user.usr=1\n" +
  "/usr/bin 0 40755 2 0 0 0 1.0 - - - trusted.x=1\n" +
  "/usr/bin/a 0 100644 1 0 0 0 1.0 - - - security.capability=c user.a=1 user.overlay.x=2\n";

describe("the root's metadata", () => {
  test("comes from /usr, xattrs included", () => {
    const root = tree(FULL);
    copyRootFromUsr(root);
    expect(dumpOf(root).split("\n")[0]).toBe(
      "/ 0 40755 4 5 6 0 7.8 - - - security.capability=c security.selinux=s user.usr=1",
    );
    root.stat.uid = 99;
    expect(root.entries.get("usr")!.stat.uid).toBe(5);
  });

  test.each(["", "/usr 3 120777 1 0 0 0 2.0 bin - -\n"])(
    "stays without a directory of that name: %j",
    (lines) => {
      const text = `/ 0 40700 2 1 2 0 1.5 - - - user.root=1\n${lines}`;
      const root = tree(text);
      copyRootFromUsr(root);
      expect(dumpOf(root)).toBe(text);
    },
  );

  test("of a root that nothing describes", () => {
    expect(defaultRootStat()).toEqual({
      mode: 0o755,
      uid: 0,
      gid: 0,
      mtime: 0n,
      mtimeNsec: 0,
      xattrs: new Map(),
    });
  });
});

describe("/run", () => {
  test("is emptied and gets the time of /usr", () => {
    const root = tree(FULL);
    canonicalizeRun(root);
    expect(dumpOf(root)).toContain("/run 0 41777 2 3 4 0 7.8 - - - user.run=1\n/usr ");
  });

  test("gets the root's time without a /usr", () => {
    const root = tree("/ 0 40755 3 0 0 0 5.6 - - -\n/run 0 40755 2 0 0 0 9.9 - - -\n");
    canonicalizeRun(root);
    expect(dumpOf(root)).toContain("/run 0 40755 2 0 0 0 5.6 ");
  });

  test("is left alone when it is no directory", () => {
    const text = "/ 0 40755 2 0 0 0 5.6 - - -\n/run 7 120777 1 0 0 0 9.9 var/run - -\n";
    const root = tree(text);
    canonicalizeRun(root);
    expect(dumpOf(root)).toBe(text);
  });
});

describe("xattr filter", () => {
  test.each([
    ["allowlist-only", "security.capability=c", "security.capability=c"],
    [
      "keep-user-xattrs",
      "security.capability=c user.usr=1",
      "security.capability=c user.a=1 user.overlay.x=2",
    ],
  ] as const)("%s", (mode, usr, file) => {
    const root = tree(FULL);
    filterXattrs(root, mode);
    const lines = dumpOf(root).split("\n");
    expect(lines.find((l) => l.startsWith("/usr "))).toEndWith(` - - - ${usr}`);
    expect(lines.find((l) => l.startsWith("/usr/bin "))).toEndWith(" - - -");
    expect(lines.find((l) => l.startsWith("/usr/bin/a "))).toEndWith(` - - - ${file}`);
  });

  test("names", () => {
    expect(parseXattrFilter("keep-user-xattrs")).toBe("keep-user-xattrs");
    expect(() => parseXattrFilter("foo")).toThrow(
      'invalid xattr filtering mode "foo" (expected "allowlist-only" or "keep-user-xattrs")',
    );
  });
});

test("the whole transform filters what the root got from /usr", () => {
  const root = tree(FULL);
  applyOciTransform(root, "allowlist-only");
  expect(dumpOf(root)).toBe(
    "/ 0 40755 4 5 6 0 7.8 - - - security.capability=c\n" +
      "/run 0 41777 2 3 4 0 7.8 - - -\n" +
      "/usr 0 40755 3 5 6 0 7.8 - - - security.capability=c\n" +
      "/usr/bin 0 40755 2 0 0 0 1.0 - - -\n" +
      "/usr/bin/a 0 100644 1 0 0 0 1.0 - - - security.capability=c\n",
  );
});
