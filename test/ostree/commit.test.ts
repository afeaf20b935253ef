import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { HashName } from "../../src/verity/digest.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { findReference } from "../support/reference.ts";
import { hasTool, testNeeding } from "../support/skip.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { FIXTURES } from "./support.ts";

const TIME = "1577836800";
const OSTREE_TIME = "2020-01-01 00:00:00 +0000";

setDefaultTimeout(60_000);

function newRepository(dir: TempDir, hash: HashName = "sha256"): string {
  const path = dir.join(`repo-${hash}`);
  cfsctlOk(["--repo", path, "init", "--insecure", "--algorithm", `fsverity-${hash}-12`]);
  return path;
}

function ostree(...args: readonly string[]): string {
  const result = Bun.spawnSync(["ostree", ...args], { stdout: "pipe", stderr: "pipe" });
  if (!result.success) throw new Error(`ostree ${args.join(" ")}: ${result.stderr}`);
  return result.stdout.toString().trim();
}

function newOstreeRepository(path: string): void {
  ostree("init", "--mode=archive", `--repo=${path}`);
  // The tests need not survive a power failure.
  ostree("config", `--repo=${path}`, "set", "core.fsync", "false");
}

function commitOf(output: string): string {
  return /^commit {2}([0-9a-f]{64})$/m.exec(output)![1]!;
}

/** Everything that may be in a commit. */
function makeTree(root: string): void {
  mkdirSync(join(root, "sub/deeper"), { recursive: true });
  mkdirSync(join(root, "empty"));
  for (const size of [0, 1, 64, 65, 128, 129, 4096, 70_000])
    writeFileSync(join(root, `f${size}`), noise(size, size + 1));
  writeFileSync(join(root, "large"), noise(3_000_000, 5));
  linkSync(join(root, "large"), join(root, "sub/linked"));
  writeFileSync(join(root, "sub/copy"), noise(3_000_000, 5));
  chmodSync(join(root, "sub/copy"), 0o600);
  writeFileSync(join(root, "sub/deeper/grüße"), "x");
  symlinkSync("../f1", join(root, "sub/link"));
  for (const mode of [0o4755, 0o2755, 0o1777, 0o444]) {
    writeFileSync(join(root, `m${mode.toString(8)}`), "x".repeat(200));
    chmodSync(join(root, `m${mode.toString(8)}`), mode);
    mkdirSync(join(root, `d${mode.toString(8)}`));
    chmodSync(join(root, `d${mode.toString(8)}`), mode);
  }
}

/** Sets attributes as far as the file system takes them. */
function setAttributes(root: string): boolean {
  const set = (name: string, value: string, path: string) =>
    Bun.spawnSync(["setfattr", "-n", name, "-v", value, join(root, path)]).success;
  if (!hasTool("setfattr")) return false;
  return [
    set("user.foo", "bar", "f64"),
    set("user.a", "b", "f64"),
    set("user.d", "e", "sub"),
    set("user.none", "", "f65"),
  ].every((done) => done);
}

describe("commits of directories have the ids that ostree gives them", () => {
  const OPTIONS: [name: string, ours: string[], theirs: string[]][] = [
    ["as they are", [], []],
    ["with text", ["--subject", "S", "--body", "B\nC\n"], ["--subject=S", "--body=B\nC\n"]],
    ["without xattrs", ["--no-xattrs"], ["--no-xattrs"]],
    ["canonical", ["--canonical-permissions"], ["--canonical-permissions", "--no-xattrs"]],
    [
      "with metadata",
      ["--add-metadata", "b=uint32 5", "--add-metadata-string", "z=1", "--add-metadata-string", "a=ü"],
      ["--add-metadata=b=uint32 5", "--add-metadata-string=z=1", "--add-metadata-string=a=ü"],
    ],
    ["with a parent", ["--parent", "ab".repeat(32)], [`--parent=${"ab".repeat(32)}`]],
  ];

  testNeeding({ tool: "ostree" })("with all options", () => {
    using dir = tempDir();
    const tree = dir.join("tree");
    makeTree(tree);
    if (!setAttributes(tree)) console.log("skipped: extended attributes can't be set here");
    newOstreeRepository(dir.join("o"));
    const repository = newRepository(dir);
    for (const [name, ours, theirs] of OPTIONS) {
      const base = ["--orphan", "--no-bindings", `--timestamp=${OSTREE_TIME}`];
      const expected = ostree("commit", `--repo=${dir.join("o")}`, ...base, ...theirs, tree);
      const args = ["--repo", repository, "ostree", "commit", "--dir", tree, "--timestamp", TIME, ...ours];
      expect({ name, commit: commitOf(cfsctlOk(args)) }).toEqual({ name, commit: expected });
    }
    expect(cfsctlOk(["--repo", repository, "ostree", "fsck"])).toContain("ok");
  });

  testNeeding({ tool: "ostree" })("with a ref, whose commit becomes the parent of the next", () => {
    using dir = tempDir();
    const tree = dir.join("tree");
    mkdirSync(tree);
    writeFileSync(join(tree, "a"), "1");
    newOstreeRepository(dir.join("o"));
    const repository = newRepository(dir, "sha512");
    for (const text of ["1", "2", "3"]) {
      writeFileSync(join(tree, "a"), text);
      const theirs = ostree(
        "commit",
        `--repo=${dir.join("o")}`,
        "-b",
        "a/b",
        `--timestamp=${OSTREE_TIME}`,
        tree,
      );
      const env = { SOURCE_DATE_EPOCH: TIME };
      const ours = cfsctlOk(["--repo", repository, "ostree", "commit", "--dir", tree, "--reference", "a/b"], {
        env,
      });
      expect(ours).toMatch(/^commit {2}[0-9a-f]{64}\nverity {2}[0-9a-f]{128}\ntagged {2}a\/b\n$/);
      expect(commitOf(ours)).toBe(theirs);
    }
    const args = ["ostree", "commit", "--dir", tree, "--reference", "a/b", "--parent", "none", "--json"];
    expect(JSON.parse(cfsctlOk(["--repo", repository, ...args])).parent).toBeNull();
  });

  test("without ostree: a tree whose ids are known", () => {
    using dir = tempDir();
    const tree = dir.join("tree");
    mkdirSync(tree);
    chmodSync(tree, 0o755);
    const repository = newRepository(dir);
    const args = [
      "ostree",
      "commit",
      "--dir",
      tree,
      "--canonical-permissions",
      "--timestamp",
      TIME,
      "--json",
    ];
    const made = JSON.parse(cfsctlOk(["--repo", repository, ...args]));
    expect(made.root_dirtree).toBe("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    expect(made.root_dirmeta).toBe("446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488");
    expect(made.objects).toBe(3);
  });
});

describe("commits of archives", () => {
  const BIG = noise(2_500_000, 9);
  const items = [
    directory("./"),
    directory("etc/", { mode: 0o750, uid: 7, gid: 8, xattrs: { "user.d": "1" } }),
    file("etc/passwd", "root", { mode: 0o640, xattrs: { "user.x": "y", "user.b": "c" } }),
    directory("explicit/"),
    directory("explicit/path/", { mode: 0o700 }),
    file("explicit/path/file", noise(1000, 2), { mode: 0o4755, uid: 1000 }),
    file("big", BIG, { mode: 0o644 }),
    file("etc/.wh.passwd", "", { mode: 0o644 }),
    { path: "link", type: "symlink" as const, target: "etc/passwd", mode: 0o777 },
    { path: "hard", type: "hardlink" as const, target: "./big" },
    file("twice", "first", { mode: 0o644 }),
    file("./twice", "second", { mode: 0o600 }),
  ];
  const plain = writeTar(items);

  testNeeding({ tool: "ostree" })("have the ids that ostree gives them, however they are compressed", () => {
    using dir = tempDir();
    const repository = newRepository(dir);
    newOstreeRepository(dir.join("o"));
    writeFileSync(dir.join("plain.tar"), plain);
    const theirs = ostree(
      ...["commit", `--repo=${dir.join("o")}`, "--orphan", "--no-bindings", `--timestamp=${OSTREE_TIME}`],
      ...[`--tree=tar=${dir.join("plain.tar")}`],
    );
    for (const [name, bytes] of Object.entries({
      plain,
      gzip: gzipSync(plain),
      zstd: zstdCompressSync(plain),
    })) {
      const path = dir.join(name);
      writeFileSync(path, bytes);
      const command = ["--repo", repository, "ostree", "commit", "--timestamp", TIME, "--tar"];
      expect({ name, commit: commitOf(cfsctlOk([...command, path])) }).toEqual({ name, commit: theirs });
      const piped = cfsctlOk([...command, "-"], { stdin: bytes });
      expect({ name, commit: commitOf(piped) }).toEqual({ name, commit: theirs });
    }
  });

  testNeeding({ tool: "tar" })("sparse files are expanded", () => {
    using dir = tempDir();
    const repository = newRepository(dir);
    const tree = dir.join("tree");
    mkdirSync(tree);
    writeFileSync(join(tree, "sparse"), "begin");
    truncateSync(join(tree, "sparse"), 3_000_000);
    writeFileSync(join(tree, "end"), "");
    truncateSync(join(tree, "end"), 1_000_000);
    writeFileSync(join(tree, "end"), "end", { flag: "a" });
    const commit = (...args: string[]) => {
      const options = ["--timestamp", TIME, "--canonical-permissions"];
      return commitOf(cfsctlOk(["--repo", repository, "ostree", "commit", ...options, ...args]));
    };
    const expected = commit("--dir", tree);
    const formats = ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"];
    for (const format of formats) {
      const archive = dir.join("a.tar");
      const made = Bun.spawnSync(["tar", "--sparse", format, "-cf", archive, "-C", tree, "."]);
      expect(made.exitCode).toBe(0);
      expect({ format, commit: commit("--tar", archive) }).toEqual({ format, commit: expected });
    }
  });

  test("directories without an entry belong to root", () => {
    using dir = tempDir();
    const repository = newRepository(dir);
    writeFileSync(dir.join("a.tar"), writeTar([file("a/b/c", "x", { uid: 5, mode: 0o600 })]));
    cfsctlOk(["--repo", repository, "ostree", "commit", "--tar", dir.join("a.tar"), "--reference", "r"]);
    expect(cfsctlOk(["--repo", repository, "ostree", "dump", "r"])).toBe(
      "/ 0 40755 3 0 0 0 0.0 - - -\n/a 0 40755 3 0 0 0 0.0 - - -\n/a/b 0 40755 2 0 0 0 0.0 - - -\n" +
        "/a/b/c 1 100600 1 5 0 0 0.0 - x -\n",
    );
  });

  const bad: [string, Uint8Array, string][] = [
    ["cut in a body", plain.subarray(0, 1_000_000), "unexpected EOF"],
    ["cut in gzip data", gzipSync(plain).subarray(0, 1_000_000), "unexpected EOF"],
    ["cut in zstd data", zstdCompressSync(plain).subarray(0, 1_000_000), "unexpected EOF"],
    ["a way upwards", writeTar([file("a/../../b", "x")]), "'..'"],
    ["a link to nothing", writeTar([{ path: "x", type: "hardlink", target: "y" }]), "does not exist"],
    ["a file as directory", writeTar([file("a", "x"), file("a/b", "x")]), "no directory"],
    ["a device", writeTar([{ path: "null", type: "char", device: [1, 3] }]), "regular files"],
    ["no tar", noise(5000, 3), ""],
  ];
  test.each(bad)("%s is refused", (_, bytes, message) => {
    using dir = tempDir();
    const repository = newRepository(dir);
    writeFileSync(dir.join("a.tar"), bytes);
    const args = ["--repo", repository, "ostree", "commit", "--tar", dir.join("a.tar"), "--reference", "r"];
    const { code, stderr, stdout } = cfsctl(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(message);
    expect(cfsctlOk(["--repo", repository, "ostree", "images"])).toBe("No ostree commits found\n");
  });
});

describe.each(["sha256", "sha512"] as const)("commits of images, %s", (hash) => {
  let image: Buffer;
  beforeAll(() => {
    image = gunzipSync(readFileSync(join(FIXTURES, `streams/c1-${hash}.erofs.gz`)));
  });

  test("of the image of a commit, the root is that of the commit", async () => {
    using dir = tempDir();
    const repository = newRepository(dir, hash);
    const { unpackRepository } = await import("./support.ts");
    const source = unpackRepository("archive", dir.path);
    const c1 = "ac6b64e930234cfffcdc257e9d9656283047b324bea9ef629a0cf09d7920fe0d";
    cfsctlOk(["--repo", repository, "ostree", "pull-local", source, c1]);
    const id = cfsctlOk(["--repo", repository, "ostree", "compute-id", c1]).trim();
    expect(readFileSync(join(repository, `objects/${id.slice(0, 2)}/${id.slice(2)}`)).equals(image)).toBe(
      true,
    );
    const args = ["ostree", "commit", id, "--reference", "re/c1", "--subject", "again"];
    const printed = cfsctlOk(["--repo", repository, ...args]);
    expect(printed).toMatch(/^commit {2}[0-9a-f]{64}\nverity {2}[0-9a-f]+\ntagged {2}re\/c1\n$/);
    // As composefs-rs recorded it.
    const shown = cfsctlOk(["--repo", repository, "ostree", "inspect", "re/c1"]);
    expect(shown.replace(/^date .*$/m, "date")).toBe(
      `commit  ${commitOf(printed)}\ndate\n` +
        "tree    ef214d0a609c1ccdda73d2795b121074c65761f5b1950950a47fa013ae693708\n" +
        "dirmeta 446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488\n\nagain\n",
    );
    const metadata = cfsctlOk(["--repo", repository, "ostree", "inspect", "--metadata", "re/c1"]);
    expect(metadata).toBe("ostree.ref-binding=[re/c1]\n");
    expect(cfsctlOk(["--repo", repository, "ostree", "compute-id", "re/c1"]).trim()).toBe(id);
  });

  test("of other images, the commit is that of composefs-rs", () => {
    const reference = findReference();
    if (reference === undefined) {
      console.log("skipped: needs composefs-rs");
      return;
    }
    using dir = tempDir();
    const tree = dir.join("tree");
    makeTree(tree);
    setAttributes(tree);
    const ours = newRepository(dir, hash);
    const theirs = dir.join("theirs");
    const run = (...args: string[]) => {
      const result = Bun.spawnSync([reference, "--repo", theirs, ...args], { stderr: "pipe" });
      if (!result.success) throw new Error(result.stderr.toString());
      return result.stdout.toString();
    };
    run("init", "--insecure", "--algorithm", `fsverity-${hash}-12`);
    for (const version of ["1", "2"]) {
      const create = ["--erofs-version", version, "create-image", "--no-propagate-usr-to-root", tree];
      const id = cfsctlOk(["--repo", ours, ...create])
        .trim()
        .split(":")[1]!;
      expect(run(...create)).toContain(id);
      // Both take the present as its time: the second may pass between them.
      const args = ["ostree", "commit", id, "--reference", "r", "--subject", "S"];
      const pairs = Array.from({ length: 4 }, () => [cfsctlOk(["--repo", ours, ...args]), run(...args)]);
      expect(pairs.some(([own, other]) => own === other)).toBe(true);
    }
  });

  test("ostree understands xattrs that --clean-xattr-names has made", () => {
    using dir = tempDir();
    const tree = dir.join("tree");
    makeTree(tree);
    if (!setAttributes(tree)) {
      console.log("skipped: extended attributes can't be set here");
      return;
    }
    Bun.spawnSync(["setfattr", "-x", "user.none", join(tree, "f65")]);
    const repository = newRepository(dir, hash);
    const create = ["create-image", "--no-propagate-usr-to-root", tree];
    const id = cfsctlOk(["--repo", repository, ...create])
      .trim()
      .split(":")[1]!;
    const commit = (...args: string[]) =>
      cfsctl(["--repo", repository, "ostree", "commit", "--timestamp", TIME, ...args]);
    const plain = commit(id);
    expect(plain.stderr).toContain("--clean-xattr-names");
    const clean = commit(id, "--clean-xattr-names");
    expect(clean.stderr).toBe("");
    const ofDirectory = commit("--dir", tree, "--clean-xattr-names");
    expect(commitOf(clean.stdout)).toBe(commitOf(ofDirectory.stdout));
    expect(commitOf(clean.stdout)).not.toBe(commitOf(plain.stdout));
    for (const { stdout } of [plain, clean]) {
      const image = cfsctlOk(["--repo", repository, "ostree", "compute-id", commitOf(stdout)]).trim();
      // The last one of the three is that of the directory, without times.
      if (stdout === plain.stdout) expect(image).toBe(id);
    }
  });
});

test("what can't be in a commit is refused, with its path", () => {
  using dir = tempDir();
  const repository = newRepository(dir);
  const tree = dir.join("tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  const refused = (message: string) => {
    const { code, stderr } = cfsctl(["--repo", repository, "ostree", "commit", "--dir", tree]);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  };
  Bun.spawnSync(["mkfifo", join(tree, "sub/pipe")]);
  refused("/sub/pipe: a fifo can't be in an ostree commit");
  Bun.spawnSync(["rm", join(tree, "sub/pipe")]);
  writeFileSync(Buffer.concat([Buffer.from(join(tree, "sub/")), Buffer.of(0xff)]), "x");
  refused("is not UTF-8");
});

test("wrong arguments", () => {
  using dir = tempDir();
  const repository = newRepository(dir);
  const run = (...args: string[]) => cfsctl(["--repo", repository, "ostree", "commit", ...args]);
  expect(run("--dir", "--tar", dir.path).code).toBe(2);
  expect(run("--dir", dir.path, "--add-metadata", "k").code).toBe(2);
  expect(run("--dir", dir.path, "--add-metadata", "k=x").code).toBe(2);
  expect(run("--dir", dir.path, "--timestamp", "soon").code).toBe(1);
  expect(run("--dir", dir.path, "--parent", "nobody").code).toBe(1);
  expect(run("--dir", dir.path, "--reference", "..").code).toBe(1);
  expect(run("nope").stderr).toContain("image not found: nope");
});
