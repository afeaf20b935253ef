import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { describeError } from "../../src/errors.ts";
import { type LayerEntry, LayerEntryWriter, readLayerEntries } from "../../src/oci/layer-entries.ts";
import { applyLayer, emptyRoot } from "../../src/oci/layering.ts";
import { openTemporary } from "../../src/repository/temporary.ts";
import { ObjectIdTable } from "../../src/splitstream/format.ts";
import { Fd } from "../../src/sys/fd.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../src/sys/file.ts";
import { emptyEntry, type TarEntry, type TarType } from "../../src/tar/entry.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import type { Directory } from "../../src/tree/model.ts";
import type { ObjectId } from "../../src/verity/digest.ts";
import { SHA256 } from "../../src/verity/digest.ts";

function entry(type: TarType, path: string, more: Partial<TarEntry> = {}): LayerEntry {
  return {
    entry: { ...emptyEntry(), type, path, mode: type === "directory" ? 0o755 : 0o644, ...more },
    content: type === "file" ? { type: "inline", data: "x" } : undefined,
  };
}
const file = (path: string, more?: Partial<TarEntry>) => entry("file", path, more);
const dir = (path: string, more?: Partial<TarEntry>) => entry("directory", path, more);
const link = (path: string, linkName: string) => entry("hardlink", path, { linkName });

const noSparse = () => {
  throw new Error("no sparse files here");
};

function replay(...layers: LayerEntry[][]): Directory {
  const root = emptyRoot();
  for (const layer of layers) applyLayer(root, layer, noSparse);
  return root;
}

/** Paths, sorted. */
function names(root: Directory): string[] {
  return [...dumpTree(root)].join("").split("\n").flatMap((line) => line.split(" ")[0] || []).slice(1); // biome-ignore format: short
}

function errorOf(...layers: LayerEntry[][]): string {
  try {
    replay(...layers);
  } catch (error) {
    return describeError(error);
  }
  return "";
}

describe("replaying layers", () => {
  test.each<[string, LayerEntry[][], string[]]>([
    [
      "paths are normalised",
      [[dir("./usr/"), file("/usr//./a"), file("usr/b/.")]],
      ["/usr", "/usr/a", "/usr/b"],
    ],
    ["parents need no entry", [[file("a/b/c")]], ["/a", "/a/b", "/a/b/c"]],
    ["whiteouts hide", [[file("a/x"), file("a/y")], [file("a/.wh.x")]], ["/a", "/a/y"]],
    ["whiteouts work at once", [[file("x"), file(".wh.x"), file("y")]], ["/y"]],
    ["entries after a whiteout stay", [[file("x")], [file(".wh.x"), file("x")]], ["/x"]],
    [
      "opaque directories",
      [
        [file("a/x"), file("a/b/c")],
        [file("a/.wh..wh..opq"), file("a/n")],
      ],
      ["/a", "/a/n"],
    ],
    ["a whiteout of a directory", [[file("a/b/c")], [file(".wh.a"), file("a/n")]], ["/a", "/a/n"]],
    ["whiteouts of any type", [[file("x")], [entry("char", ".wh.x", { rdev: 0n })]], []],
    [
      "whiteouts in what is a directory no more",
      [[file("a/b/c")], [file("a"), file("a/.wh.b"), file("a/b/.wh..wh..opq")]],
      ["/a"],
    ],
    ["a whiteout of nothing", [[file("a/.wh.gone")]], ["/a"]],
    [".wh alone is a name", [[file(".wh")]], ["/.wh"]],
    ["a file replaces a directory", [[file("a/b")], [file("a")]], ["/a"]],
    ["a directory replaces a file", [[file("a")], [dir("a"), file("a/b")]], ["/a", "/a/b"]],
    ["directories merge", [[file("a/x")], [dir("a"), file("a/y")]], ["/a", "/a/x", "/a/y"]],
    [
      "a name in another parent's cache",
      [[file("a/x"), file("b/x"), file(".wh.a"), file("a/y")]],
      ["/a", "/a/y", "/b", "/b/x"],
    ],
  ])("%s", (_, layers, expected) => {
    expect(names(replay(...layers))).toEqual(expected);
  });

  test("hard links share the file, and survive its name", () => {
    const root = replay([file("t", { uid: 7 }), link("l", "/t"), link("m", "./l")], [file(".wh.t")]);
    expect(names(root)).toEqual(["/l", "/m"]);
    expect(root.entries.get("l")).toBe(root.entries.get("m")!);
    expect(root.entries.get("l")!.stat.uid).toBe(7);
  });

  test("a directory's metadata is that of its last entry", () => {
    const root = replay([dir("d", { mode: 0o700 }), file("d/x")], [dir("d/", { mode: 0o40711, mtime: -5n })]);
    expect(root.entries.get("d")!.stat).toMatchObject({ mode: 0o711, mtime: -5n });
  });

  test("entries without a name describe the root", () => {
    for (const path of ["/", ".", "./", "..", "a/.."]) {
      expect(replay([dir(path, { uid: 5 })]).stat.uid).toBe(5);
    }
  });

  test.each<[string, LayerEntry[][], string]>([
    ["a file named like the root", [[file("/")]], "must be a directory"],
    ["climbing up", [[file("../x")]], 'Invalid filename ".."'],
    ["climbing up and down", [[dir("usr"), file("usr/../x")]], 'Invalid filename "usr/.."'],
    ["a file as a directory", [[file("p"), file("p/x")]], 'Directory entry "p" is not a subdirectory'],
    [
      "a link as a directory",
      [[entry("symlink", "p", { linkName: "/etc" }), file("p/x")]],
      'Directory entry "p" is not a subdirectory',
    ],
    ["a hard link to nothing", [[link("l", "nope")]], 'Directory entry "nope" does not exist'],
    ["a hard link to itself", [[link("l", "l")]], 'Directory entry "l" does not exist'],
    ["a hard link to a directory", [[dir("d"), link("l", "d")]], "is a directory"],
    ["a hard link upwards", [[link("l", "../etc")]], 'Invalid filename "../etc"'],
    ["a hard link without target", [[link("l", "")]], 'Invalid filename ""'],
    [
      "a hard link through a link",
      [[dir("u"), file("u/f"), entry("symlink", "p", { linkName: "u" }), link("l", "p/f")]],
      "not a directory",
    ],
    ["a device without number", [[entry("char", "c")]], "Device entry without device numbers?"],
    ["an unknown type", [[entry("other", "v", { typeflag: 86 })]], "Unsupported entry type Other(86)"],
    ["a NUL in a name", [[file("a\0b")]], "NUL"],
    ["a NUL in a link", [[entry("symlink", "s", { linkName: "a\0b" })]], "NUL"],
    ["endless nesting", [[file(`${"a/".repeat(3000)}x`)]], "deeper than 2048"],
  ])("refused: %s", (_, layers, message) => {
    expect(errorOf(...layers)).toContain(message);
  });
});

describe("entries on their way between threads", () => {
  const bytes = (maxLength: number) => fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)), maxLength }); // biome-ignore format: short
  const arbitraryEntry = fc
    .record({
      type: fc.constantFrom<TarType>(
        "file",
        "hardlink",
        "symlink",
        "char",
        "block",
        "directory",
        "fifo",
        "other",
      ),
      path: bytes(300),
      linkName: bytes(100),
      typeflag: fc.integer({ min: 0, max: 255 }),
      mode: fc.integer({ min: 0, max: 0xffffffff }),
      uid: fc.integer({ min: 0, max: 0xffffffff }),
      gid: fc.integer({ min: 0, max: 0xffffffff }),
      mtime: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      mtimeNsec: fc.integer({ min: 0, max: 999_999_999 }),
      rdev: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined }),
      xattrs: fc.array(fc.tuple(bytes(20), bytes(50)), { maxLength: 3 }).map((pairs) => new Map(pairs)),
      sparse: fc.option(
        fc.constantFrom(
          { realSize: 2 ** 40, runs: "in-body" as const },
          { realSize: 5000, runs: [{ offset: 4096, length: 100 }] },
        ),
        { nil: undefined },
      ),
      body: fc.uint8Array({ maxLength: 64 }),
      external: fc.boolean(),
    })
    .map(({ body, external, ...entry }) => ({ entry, body, external: external && entry.type === "file" }));

  test("arrive as they were", () => {
    using folder = open(tmpdir(), O_RDONLY | O_DIRECTORY);
    fc.assert(
      fc.property(fc.array(arbitraryEntry, { maxLength: 30 }), (items) => {
        using file = new Fd(openTemporary(folder.fd), "temporary file");
        const writer = new LayerEntryWriter(file.fd);
        const ids: ObjectId[] = [];
        const expected: LayerEntry[] = items.map(({ entry, body, external }, i) => {
          const size = external ? 2 ** 40 + i : entry.type === "file" ? body.length : 17;
          const sized = { ...entry, size };
          writer.add(sized, external ? undefined : body);
          if (!external) {
            const data = Buffer.from(body).toString("latin1");
            return { entry: sized, content: entry.type === "file" ? { type: "inline", data } : undefined };
          }
          const id = String(i).padStart(64, "0") as ObjectId;
          ids.push(id);
          return { entry: sized, content: { type: "object", id, size } };
        });
        const objects = new ObjectIdTable(Uint8Array.fromHex(ids.join("")), SHA256, "digests");
        const indexes = Uint32Array.from(ids, (_, i) => i);
        const unpacked = readLayerEntries(writer.finish(), indexes, objects);
        expect([...unpacked.map((item) => structuredClone(item))]).toEqual(expected);
      }),
    );
  });
});
