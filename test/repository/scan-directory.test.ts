import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { describeError } from "../../src/errors.ts";
import { silentProgress } from "../../src/progress.ts";
import { type HashOptions, hashScannedFiles } from "../../src/repository/hash-files.ts";
import { ObjectStore } from "../../src/repository/objects.ts";
import { Repository } from "../../src/repository/repository.ts";
import { type ScannedDirectory, scanDirectory } from "../../src/repository/scan-directory.ts";
import type { Content, Directory } from "../../src/tree/model.ts";
import { lookup } from "../../src/tree/walk.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { Scratch } from "./support.ts";

const MIB = 1024 * 1024;

/** Other threads, if there are to be any, help from the beginning. */
const hash = (scanned: ScannedDirectory, jobs = 1, more: Partial<HashOptions> = {}) =>
  hashScannedFiles(scanned, { algorithm: SHA256, jobs, progress: silentProgress, ...more }, 0);

function contentOf(root: Directory, path: string): Content {
  const node = lookup(root, path);
  if (node.kind !== "leaf") throw new Error(`${path} is a directory`);
  return node.content;
}

/** Bytes that differ from block to block. */
function bytesFor(seed: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 61) bytes[i] = (i * 7 + seed * 31 + (i >> 12)) & 255;
  return bytes;
}

/** Many small files and some large ones in a few directories; returns their sizes by path. */
function fill(dir: TempDir): Map<string, number> {
  const sizes = new Map<string, number>();
  const odd = [65, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 3 * MIB + 17];
  for (let i = 0; i < 600; i++) {
    const path = `d${i % 5}/${i % 3}/f${i}`;
    mkdirSync(dir.join(`d${i % 5}/${i % 3}`), { recursive: true });
    const size = odd[i] ?? 65 + i * 3;
    writeFileSync(dir.join(path), bytesFor(i, size));
    sizes.set(path, size);
  }
  return sizes;
}

const seedOf = (path: string) => Number(/\d+$/.exec(path)![0]);

describe("files", () => {
  test.each([1, 3])("have the digests of their content, with %d threads", async (jobs) => {
    using dir = tempDir();
    const sizes = fill(dir);
    using scanned = scanDirectory(dir.path);
    expect(scanned.files.length).toBe(sizes.size);
    for (const algorithm of [SHA256, SHA512]) {
      await hash(scanned, jobs, { algorithm });
      for (const [path, size] of sizes) {
        const id = fsVerityDigest(bytesFor(seedOf(path), size), algorithm);
        expect(contentOf(scanned.root, path)).toEqual({ type: "external", id, size: BigInt(size) });
      }
    }
  });

  test.each([1, 3])("are stored, with %d threads", async (jobs) => {
    using dir = tempDir();
    using scratch = new Scratch();
    const sizes = fill(dir);
    using repository = Repository.open(scratch.init());
    for (let turn = 0; turn < 2; turn++) {
      using scanned = scanDirectory(dir.path);
      await hash(scanned, jobs, { store: repository.objects.handle });
    }
    const objects = new ObjectStore(repository.objects.handle);
    for (const [path, size] of sizes) {
      const bytes = bytesFor(seedOf(path), size);
      expect(Bun.hash(objects.read(fsVerityDigest(bytes, SHA256), 8 * MIB))).toBe(Bun.hash(bytes));
    }
    objects.close();
  });

  test("of up to 64 bytes are inline, whatever their bytes", async () => {
    using dir = tempDir();
    const bytes = Uint8Array.from({ length: 64 }, (_, i) => i * 4);
    writeFileSync(dir.join("64"), bytes);
    writeFileSync(dir.join("0"), "");
    writeFileSync(dir.join("65"), "x".repeat(65));
    using scanned = scanDirectory(dir.path);
    await hash(scanned);
    expect(contentOf(scanned.root, "64")).toEqual({ type: "inline", data: String.fromCharCode(...bytes) });
    expect(contentOf(scanned.root, "0")).toEqual({ type: "inline", data: "" });
    expect(contentOf(scanned.root, "65").type).toBe("external");
  });

  test("with holes are read as zeros", async () => {
    using dir = tempDir();
    writeFileSync(dir.join("sparse"), "");
    truncateSync(dir.join("sparse"), 2 * MIB + 1);
    using scanned = scanDirectory(dir.path);
    await hash(scanned);
    const id = fsVerityDigest(new Uint8Array(2 * MIB + 1), SHA256);
    expect(contentOf(scanned.root, "sparse")).toMatchObject({ type: "external", id });
  });
});

describe("the tree", () => {
  test("has one leaf for hard links of any type", async () => {
    using dir = tempDir();
    mkdirSync(dir.join("sub"));
    writeFileSync(dir.join("file"), "x".repeat(100));
    linkSync(dir.join("file"), dir.join("sub/file"));
    symlinkSync("file", dir.join("link"));
    Bun.spawnSync(["ln", "-P", dir.join("link"), dir.join("sub/link")]);
    writeFileSync(dir.join("alone"), "x".repeat(100));
    using scanned = scanDirectory(dir.path);
    expect(scanned.files.length).toBe(2);
    await hash(scanned);
    const { root } = scanned;
    expect(lookup(root, "sub/file")).toBe(lookup(root, "file"));
    expect(lookup(root, "sub/link")).toBe(lookup(root, "link"));
    expect(lookup(root, "alone")).not.toBe(lookup(root, "file"));
  });

  test("has types, metadata and xattrs", () => {
    using dir = tempDir();
    mkdirSync(dir.join("sub"));
    symlinkSync("to\nwhere", dir.join("sub/link"));
    chmodSync(dir.join("sub"), 0o1711);
    utimesSync(dir.join("sub"), 5, 1_600_000_000.25);
    Bun.spawnSync(["mkfifo", "-m", "640", dir.join("fifo")]);
    writeFileSync(dir.join("file"), "");
    const hasXattrs = Bun.spawnSync(["setfattr", "-n", "user.a", "-v", "1", dir.join("file")]).success;
    using scanned = scanDirectory(dir.path);
    expect(lookup(scanned.root, "sub").stat).toMatchObject({
      mode: 0o1711,
      uid: process.getuid?.(),
      mtime: 1_600_000_000n,
      mtimeNsec: 250_000_000,
    });
    expect(contentOf(scanned.root, "sub/link")).toEqual({ type: "symlink", target: "to\nwhere" });
    expect(contentOf(scanned.root, "fifo")).toEqual({ type: "fifo" });
    expect(lookup(scanned.root, "fifo").stat.mode).toBe(0o640);
    if (hasXattrs) expect([...lookup(scanned.root, "file").stat.xattrs]).toContainEqual(["user.a", "1"]);
    else console.log("skipped: no setfattr, or no user.* attributes in the temporary directory");
    using filtered = scanDirectory(dir.path, { wantedXattr: () => false });
    expect(lookup(filtered.root, "file").stat.xattrs.size).toBe(0);
  });

  test("may be deeper than the longest path that can be opened", async () => {
    using dir = tempDir();
    const name = "d".repeat(250);
    const script = `for i in $(seq 1 40); do mkdir ${name} && cd -P ${name} || exit 1; done; head -c 100 /dev/zero > file`;
    const made = Bun.spawnSync(["bash", "-c", script], { cwd: dir.path });
    expect(made.stderr.toString()).toBe("");
    using scanned = scanDirectory(dir.path);
    await hash(scanned);
    const path = `${`${name}/`.repeat(40)}file`;
    const id = fsVerityDigest(new Uint8Array(100), SHA256);
    expect(contentOf(scanned.root, path)).toEqual({ type: "external", id, size: 100n });
    Bun.spawnSync(["rm", "-rf", dir.join(name)]);
  });

  test("does not hold what is in emptied directories of the root", () => {
    using dir = tempDir();
    mkdirSync(dir.join("run/a"), { recursive: true });
    mkdirSync(dir.join("sub/run/b"), { recursive: true });
    using scanned = scanDirectory(dir.path, { emptied: ["run"] });
    expect(lookup(scanned.root, "run")).toMatchObject({ entries: new Map() });
    expect(lookup(scanned.root, "sub/run/b").kind).toBe("directory");
  });
});

testNeeding("root", { tool: "mount" })("directories of other file systems can be left empty", () => {
  using dir = tempDir();
  mkdirSync(dir.join("a/mounted"), { recursive: true });
  writeFileSync(dir.join("a/file"), "here");
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "mode=700", "none", dir.join("a/mounted")]);
  if (!mounted.success) return console.log(`skipped: nothing can be mounted here: ${mounted.stderr}`);
  try {
    writeFileSync(dir.join("a/mounted/file"), "elsewhere");
    for (const oneFileSystem of [false, true]) {
      using scanned = scanDirectory(dir.path, { oneFileSystem });
      const { entries, stat } = lookup(scanned.root, "a/mounted") as Directory;
      expect({ names: [...entries.keys()], mode: stat.mode }).toEqual({
        names: oneFileSystem ? [] : ["file"],
        mode: 0o700,
      });
      expect((lookup(scanned.root, "a") as Directory).entries.size).toBe(2);
    }
  } finally {
    Bun.spawnSync(["umount", dir.join("a/mounted")]);
  }
});

testNeeding("root", { tool: "mount" })("a directory that is mounted twice has the same files", () => {
  using dir = tempDir();
  mkdirSync(dir.join("a"));
  mkdirSync(dir.join("b"));
  writeFileSync(dir.join("a/file"), "here");
  const mounted = Bun.spawnSync(["mount", "--bind", dir.join("a"), dir.join("b")]);
  if (!mounted.success) return console.log(`skipped: nothing can be mounted here: ${mounted.stderr}`);
  try {
    using scanned = scanDirectory(dir.path);
    expect(lookup(scanned.root, "b/file")).toBe(lookup(scanned.root, "a/file"));
  } finally {
    Bun.spawnSync(["umount", dir.join("b")]);
  }
});

describe("what changes between being found and being read", () => {
  const changes: [string, (file: string, dir: TempDir) => void][] = [
    ["the size", (file) => truncateSync(file, 99)],
    ["the time", (file) => utimesSync(file, 1, 1)],
    ["removal", (file) => rmSync(file)],
    [
      "another file of the same size and time",
      (file) => {
        writeFileSync(`${file}2`, "x".repeat(100));
        utimesSync(`${file}2`, 1000, 1000);
        renameSync(`${file}2`, file);
      },
    ],
    [
      "a fifo",
      (file) => {
        rmSync(file);
        Bun.spawnSync(["mkfifo", file]);
      },
    ],
    [
      "a symbolic link to such a file",
      (file, dir) => {
        renameSync(file, dir.join("elsewhere"));
        symlinkSync(dir.join("elsewhere"), file);
      },
    ],
    [
      "a symbolic link on the way",
      (_, dir) => {
        renameSync(dir.join("sub"), dir.join("elsewhere"));
        symlinkSync("elsewhere", dir.join("sub"));
      },
    ],
  ];
  test.each(changes)("%s is an error", async (_, change) => {
    using dir = tempDir();
    mkdirSync(dir.join("sub"));
    const file = dir.join("sub/file");
    writeFileSync(file, "x".repeat(100));
    utimesSync(file, 1000, 1000);
    using scanned = scanDirectory(dir.path);
    change(file, dir);
    const failure = await hash(scanned).then(
      () => "none",
      (error) => describeError(error),
    );
    expect(failure).toContain(dir.join("sub"));
    expect(failure).toContain("changed while it was read");
  });

  test("is found out by other threads too", async () => {
    using dir = tempDir();
    const sizes = fill(dir);
    using scanned = scanDirectory(dir.path);
    for (const path of sizes.keys()) truncateSync(dir.join(path), 1);
    await expect(hash(scanned, 3)).rejects.toThrow("changed while it was read");
  });
});
