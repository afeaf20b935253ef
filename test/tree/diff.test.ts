import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Difference, type DiffField, diffTrees } from "../../src/tree/diff.ts";
import { type DiffSide, knownReason } from "../../src/tree/diff-reasons.ts";
import { bytesText } from "../../src/tree/diff-text.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import type { Directory } from "../../src/tree/model.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { copyOf, trees } from "./support/arbitrary.ts";

/** fs-verity digest of a file without content, as `fsverity digest` prints it. */
const EMPTY = "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95";
const OTHER = "ab".repeat(32);

/** A tree from lines of a dumpfile (composefs-dump(5)); link counts are not looked at here. */
function tree(...lines: string[]): Directory {
  const text = ["/ 4096 40755 2 0 0 0 1.0 - - -", ...lines, ""].join("\n");
  return parseDumpfile(Buffer.from(text), SHA256);
}

const FILE = "/f 5 100644 1 0 0 0 1.0 - hello -";
const external = (id: string, size: number) =>
  `/f ${size} 100644 1 0 0 0 1.0 ${id.slice(0, 2)}/${id.slice(2)} - ${id}`;

const short = ({ path, field, xattr, expected, found }: Difference): string =>
  [path, xattr === undefined ? field : `${field} ${xattr}`, expected ?? "-", found ?? "-"].join(" ");

function diff(expected: Directory, found: Directory, ...ignore: DiffField[]): string[] {
  return [...diffTrees(expected, found, { algorithm: SHA256, ignore: new Set(ignore) })].map(short);
}

describe("texts that could be mistaken for one another", () => {
  test.each([
    ["\x01", "\\x01"],
    ["\x85", "\xc2\x85"],
    ["\xff", "\\xff"],
    ["\\", "\\\\"],
    ["\xc2\x85", "\\u0085"],
  ])("%j and %j differ", (a, b) => {
    expect(bytesText(a)).not.toBe(bytesText(b));
    const trees = [a, b].map((value) => {
      const root = tree(FILE);
      root.entries.get("f")!.stat.xattrs = new Map([["user.x", value]]);
      return root;
    });
    expect(diff(trees[0]!, trees[1]!)).toHaveLength(1);
  });
});

describe("differences", () => {
  test.each<[string, string[], string[], string[]]>([
    ["none", [FILE], [FILE], []],
    ["mode", [FILE], ["/f 5 104755 1 0 0 0 1.0 - hello -"], ["/f mode 0644 4755"]],
    ["owner", [FILE], ["/f 5 100644 1 7 4294967295 0 1.0 - hello -"], ["/f uid 0 7", "/f gid 0 4294967295"]],
    [
      "time",
      [FILE],
      ["/f 5 100644 1 0 0 0 -9223372036854775808.000000001 - hello -"],
      ["/f mtime 1.000000000 -9223372036854775808.000000001"],
    ],
    ["content in an object or in the tree", [external(EMPTY, 0)], ["/f 0 100644 1 0 0 0 1.0 - - -"], []],
    [
      "content",
      [external(OTHER, 100)],
      ["/f 0 100644 1 0 0 0 1.0 - - -"],
      ["/f size 100 0", `/f digest ${OTHER} ${EMPTY}`],
    ],
    [
      "content of the same size",
      [external(OTHER, 100)],
      [external(OTHER.replaceAll("b", "c"), 100)],
      [`/f digest ${OTHER} ${OTHER.replaceAll("b", "c")}`],
    ],
    [
      "type",
      [FILE],
      ["/f 4096 40755 2 0 0 0 1.0 - - -", "/f/below 0 100644 1 0 0 0 1.0 - - -"],
      ["/f type file directory", "/f mode 0644 0755", "/f/below entry - file"],
    ],
    [
      "target",
      ["/l 3 120777 1 0 0 0 1.0 a/b - -"],
      ["/l 3 120777 1 0 0 0 1.0 a\\nb - -"],
      ["/l target a/b a\\x0ab"],
    ],
    [
      "device",
      ["/d 0 20666 1 0 0 259 1.0 - - -"],
      ["/d 0 20666 1 0 0 286327664 1.0 - - -"],
      ["/d rdev 1:3 259:70000"],
    ],
    [
      "xattrs",
      ["/f 0 100644 1 0 0 0 1.0 - - - user.a=1 user.b=2 user.c=\\x00"],
      ["/f 0 100644 1 0 0 0 1.0 - - - user.b=3 user.c=\\x00 user.d="],
      ["/f xattr user.a 1 -", "/f xattr user.b 2 3", "/f xattr user.d - "],
    ],
    [
      "whole directories, in the order of the bytes of names",
      ["/a 4096 40755 2 0 0 0 1.0 - - -", "/a/x 0 10644 1 0 0 0 1.0 - - -"],
      ["/a- 0 140644 1 0 0 0 1.0 - - -"],
      ["/a entry directory -", "/a/x entry fifo -", "/a- entry - socket"],
    ],
    [
      "hard links",
      ["/a 0 100644 2 0 0 0 1.0 - - -", "/b 0 @120000 2 0 0 0 0.0 /a - -", "/c 0 100644 1 0 0 0 1.0 - - -"],
      ["/a 0 100644 1 0 0 0 1.0 - - -", "/b 0 100644 2 0 0 0 1.0 - - -", "/c 0 @120000 2 0 0 0 0.0 /b - -"],
      ["/a nlink 2 1", "/b hardlink /a /b", "/c nlink 1 2"],
    ],
  ])("%s", (_, expected, found, differences) => {
    expect(diff(tree(...expected), tree(...found))).toEqual(differences);
  });

  test("of the root", () => {
    const found = tree();
    found.stat.uid = 3;
    expect(diff(tree(), found)).toEqual(["/ uid 0 3"]);
  });

  test("in fields that don't matter are left out", () => {
    const found = tree("/f 5 104755 1 3 0 0 2.0 - hello - user.x=y");
    expect(diff(tree(FILE), found, "mtime", "xattr", "mode")).toEqual(["/f uid 0 3"]);
  });

  test("a tree deeper than the stack", () => {
    const deep = () => {
      const root = tree();
      let at = root;
      for (let i = 0; i < 20_000; i++) {
        const next = tree();
        at.entries.set("d", next);
        at = next;
      }
      return { root, last: at };
    };
    const [a, b] = [deep(), deep()];
    b.last.stat.gid = 1;
    expect([...diffTrees(a.root, b.root, { algorithm: SHA256 })].map(({ path }) => path.length)).toEqual([
      40_000,
    ]);
  });

  test("a tree is like itself, and swapping two swaps what was expected and found", () => {
    fc.assert(
      fc.property(trees(), trees(), (a, b) => {
        expect(diff(a, copyOf(a))).toEqual([]);
        const there = [...diffTrees(a, b, { algorithm: SHA256 })];
        const back = [...diffTrees(b, a, { algorithm: SHA256 })];
        expect(back.map((d) => short({ ...d, expected: d.found, found: d.expected }))).toEqual(
          there.map(short),
        );
      }),
      { numRuns: 40 },
    );
  });
});

describe("known reasons", () => {
  const USR = "/usr 4096 40755 2 0 0 0 7.5 - - -";
  const reasons = (image: Directory, directory: Directory) => {
    const a: DiffSide = { root: image, origin: "image", xattrs: "allowlist-only" };
    const b: DiffSide = { root: directory, origin: "directory" };
    const forward = [...diffTrees(image, directory, { algorithm: SHA256 })].map(
      (d) => `${d.path} ${d.field}: ${knownReason(d, a, b)}`,
    );
    const backward = [...diffTrees(directory, image, { algorithm: SHA256 })].map(
      (d) => `${d.path} ${d.field}: ${knownReason(d, b, a)}`,
    );
    expect(backward).toEqual(forward);
    return forward;
  };

  test.each<[string, string[], string[], string[]]>([
    [
      "nothing is known",
      [FILE],
      ["/f 5 100755 1 0 0 0 9.0 - hullo -"],
      ["mode", "mtime", "digest"].map((f) => `/f ${f}: undefined`),
    ],
    [
      "filtered xattr",
      [FILE],
      [`${FILE} user.a=1 security.selinux=x security.capability=c`],
      [
        "/f xattr: undefined",
        "/f xattr: images keep only security.capability",
        "/f xattr: images keep only security.capability",
      ],
    ],
    ["xattr that the image has made up", [`${FILE} user.a=1`], [FILE], ["/f xattr: undefined"]],
    [
      "/run",
      ["/run 4096 40755 2 0 0 0 7.5 - - -", USR],
      ["/run 4096 40755 2 0 0 0 9.0 - - -", "/run/x 0 100644 1 0 0 0 1.0 - - -", USR],
      ["/run mtime: /run of an image has the time of /usr", "/run/x entry: /run of an image is empty"],
    ],
    [
      "implied directory",
      ["/opt 4096 40755 2 0 0 0 0.0 - - -"],
      ["/opt 4096 40755 2 0 0 0 8.0 - - -"],
      ["/opt mtime: no layer describes this directory"],
    ],
    [
      "whole seconds",
      ["/f 5 100644 1 0 0 0 1.75 - hello -"],
      [FILE],
      ["/f mtime: times were cut to whole seconds on the way, as images of format 2 do"],
    ],
    [
      "hard links",
      ["/a 0 100644 2 0 0 0 1.0 - - -", "/b 0 @120000 2 0 0 0 0.0 /a - -"],
      ["/a 0 100644 1 0 0 0 1.0 - - -", "/b 0 100644 1 0 0 0 1.0 - - -"],
      ["/a nlink: copying has broken hard links", "/b nlink: copying has broken hard links"],
    ],
    ["whiteout", ["/w 0 20000 1 0 0 0 1.0 - - -"], [], ["/w entry: overlayfs hides character devices 0:0"]],
    [
      "device unpacked without root",
      ["/d 0 60600 1 0 0 259 1.0 - - -"],
      ["/d 0 100600 1 0 0 0 1.0 - - -"],
      ["/d type: unpacked without root: devices became empty files"],
    ],
    [
      "mode of a symbolic link",
      ["/l 1 120644 1 0 0 0 1.0 a - -"],
      ["/l 1 120777 1 0 0 0 1.0 a - -"],
      ["/l mode: Linux gives every symbolic link the mode 0777"],
    ],
  ])("%s", (_, image, directory, expected) => {
    expect(reasons(tree(...image), tree(...directory))).toEqual(expected);
  });

  test("root and owner", () => {
    const image = tree("/f 0 100644 1 0 0 0 1.0 - - -", USR);
    const directory = tree("/f 0 100644 1 1000 0 0 1.0 - - -", "/g 0 100644 1 0 0 0 1.0 - - -", USR);
    directory.stat.uid = 1000;
    expect(reasons(image, directory)).toEqual([
      "/ uid: the root of an image has the metadata of /usr",
      "/f uid: unpacked without root: everything belongs to one user",
      "/g entry: undefined",
    ]);
  });

  test("between two images nothing is excused", () => {
    const side: DiffSide = { root: tree(), origin: "image", xattrs: "allowlist-only" };
    const [difference] = diffTrees(tree("/opt 4096 40755 2 0 0 0 0.0 - - -"), tree(), { algorithm: SHA256 });
    expect(knownReason(difference!, side, side)).toBeUndefined();
  });
});
