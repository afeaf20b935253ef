import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import { bytesOf } from "../../src/bytes.ts";
import { hexOf } from "../../src/ostree/commit-text.ts";
import { archiveHeaderLength, FileHasher, parseArchiveHeader } from "../../src/ostree/file-header.ts";
import { openDirectory } from "../../src/sys/dir.ts";
import { AT_FDCWD, O_RDWR, open, pathBytes } from "../../src/sys/file.ts";
import { lockOpenFile } from "../../src/sys/ofd-lock.ts";
import { readXattrs } from "../../src/sys/xattr.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { noise } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { fixtureJson, unpackRepository } from "./support.ts";

setDefaultTimeout(60_000);

const C1 = "ac6b64e930234cfffcdc257e9d9656283047b324bea9ef629a0cf09d7920fe0d";
const isRoot = process.getuid?.() === 0;
let dir: TempDir;
let repository: string;

function ostree(...args: readonly string[]): string {
  const result = Bun.spawnSync(["ostree", ...args], { stdout: "pipe", stderr: "pipe" });
  if (!result.success) throw new Error(`ostree ${args.join(" ")}: ${result.stderr}`);
  return result.stdout.toString();
}

const run = (...args: string[]) => cfsctl(["--repo", repository, "ostree", ...args]);
const runOk = (...args: string[]) => cfsctlOk(["--repo", repository, "ostree", ...args]);

beforeAll(() => {
  dir = tempDir();
  repository = dir.join("repo");
  cfsctlOk(["--repo", repository, "init", "--insecure", "--algorithm", "fsverity-sha256-12"]);
  for (const name of ["archive", "archive-buo", "edges"]) unpackRepository(name, dir.path);
  runOk("pull-local", dir.join("archive"), "test/main", C1);
  runOk("tag", "test/main", "main");
  runOk("pull-local", dir.join("edges"), "main");
  runOk("tag", "main", "edges");
  runOk("pull-local", dir.join("archive-buo"), "test/main");
  runOk("tag", "test/main", "canonical");
  runOk("pull-local", dir.join("archive"), "test/main");
  const tree = dir.join("large");
  mkdirSync(tree);
  for (const size of [0, 1, 1 << 20, (1 << 20) + 1, 3_333_333])
    writeFileSync(join(tree, `${size}`), noise(size, size + 3));
  writeFileSync(join(tree, "zeros"), new Uint8Array(5_000_000));
  runOk("commit", "--dir", tree, "--reference", "large", "--canonical-permissions");
});
afterAll(() => dir[Symbol.dispose]());

interface ExportedObject {
  readonly path: string;
  readonly size: number;
  /** Of a symbolic link. */
  readonly target?: string;
}

/** All objects of a repository, with what says that two are the same. */
function objectsOf(path: string): object[] {
  const objects: object[] = [];
  for (const prefix of readdirSync(join(path, "objects")).sort()) {
    for (const name of readdirSync(join(path, "objects", prefix)).sort()) {
      const file = join(path, "objects", prefix, name);
      const status = lstatSync(file);
      const isLink = status.isSymbolicLink();
      const meta = isLink ? undefined : ostreeMeta(join(path, "objects", prefix), name);
      objects.push({
        path: `objects/${prefix}/${name}`,
        mode: `0o${status.mode.toString(8)}`,
        size: status.size,
        mtime: status.mtimeMs / 1000,
        ...(isLink
          ? { target: readlinkSync(file) }
          : { sha256: createHash("sha256").update(readFileSync(file)).digest("hex") }),
        ...(meta !== undefined && { "user.ostreemeta": meta }),
      });
    }
  }
  return objects;
}

function ostreeMeta(directory: string, name: string): string | undefined {
  using opened = openDirectory(AT_FDCWD, pathBytes(directory));
  const value = readXattrs(opened.fd, name, () => name)?.get("user.ostreemeta");
  return value === undefined ? undefined : hexOf(bytesOf(value));
}

interface Recorded {
  readonly objects: readonly object[];
  readonly refs: Readonly<Record<string, string>>;
}

describe("what composefs-rs exports", () => {
  const recorded = fixtureJson<Record<string, Recorded>>("transcripts/export-commit-sha256.json");
  const cases = [
    ["bare-user:c1", C1, "bare-user", "exp/c1"],
    ["bare-user-only:test-main", "canonical", "bare-user-only", "exp/test-main"],
    ["bare:test-main", "canonical", "bare", "exp/test-main"],
  ] as const;
  for (const [name, commit, mode, ref] of cases) {
    testNeeding(...(mode === "bare" ? (["root"] as const) : []))(name, () => {
      const key = Object.keys(recorded).find((candidate) =>
        candidate.startsWith(`export-${name.split(":")[0]}:`),
      )!;
      const target = dir.join(`recorded-${mode}`);
      const printed = runOk("export", commit, target, "--reference", ref, "--mode", mode);
      expect(printed).toMatch(new RegExp(`^commit  [0-9a-f]{64}\ntagged  ${ref}\n$`));
      const { objects, refs } = recorded[key]!;
      expect(objectsOf(target)).toEqual([...objects]);
      for (const [path, text] of Object.entries(refs))
        expect(readFileSync(join(target, path), "utf8")).toBe(text);
    });
  }
});

const MODES = ["archive", "bare-user", "bare-user-only", ...(isRoot ? ["bare"] : [])] as const;
if (!isRoot) console.log("skipped: exports to mode bare need root");

describe.each(MODES)("exports to %s", (mode) => {
  const commits = ["large", "canonical", ...(mode === "bare-user-only" ? [] : ["test/main", C1, "edges"])];
  let target: string;
  beforeAll(() => {
    target = dir.join(`all-${mode}`);
    for (const name of commits)
      runOk("export", name, target, "--reference", `x/${name === C1 ? "c1" : name}`, "--mode", mode);
  });

  test("come back as they were", () => {
    const back = dir.join(`back-${mode}`);
    cfsctlOk(["--repo", back, "init", "--insecure", "--algorithm", "fsverity-sha256-12"]);
    for (const name of commits) {
      const ref = `x/${name === C1 ? "c1" : name}`;
      cfsctlOk(["--repo", back, "ostree", "pull-local", target, ref]);
      const dump = cfsctlOk(["--repo", back, "ostree", "dump", ref]);
      expect(dump).toBe(runOk("dump", name));
      expect(cfsctlOk(["--repo", back, "ostree", "inspect", ref])).toBe(runOk("inspect", name));
    }
  });

  testNeeding({ tool: "ostree" })("are what ostree takes for good, and for the same", () => {
    expect(ostree("fsck", `--repo=${target}`)).toContain("no errors found");
    const originals = [
      [dir.join("archive-buo"), "test/main", "x/canonical"],
      ...(mode === "bare-user-only"
        ? []
        : [
            [dir.join("archive"), "test/main", "x/test/main"],
            [dir.join("archive"), C1, "x/c1"],
            [dir.join("edges"), "main", "x/edges"],
          ]),
    ] as const;
    for (const [original, name, ref] of originals) {
      const list = (repo: string, commit: string) => ostree("ls", `--repo=${repo}`, "-RXC", commit);
      expect(list(target, ref)).toBe(list(original, name));
      expect(ostree("rev-parse", `--repo=${target}`, ref)).toBe(
        ostree("rev-parse", `--repo=${original}`, name),
      );
    }
    expect(ostree("refs", `--repo=${target}`).trim().split("\n").length).toBe(commits.length);
  });

  test("write nothing that is there already", () => {
    const before = objectsOf(target);
    const report = JSON.parse(runOk("export", "large", target, "--json"));
    expect(report).toMatchObject({ mode, ref: null, files: { written: 0 }, metadata: { written: 0 } });
    expect(objectsOf(target)).toEqual(before);
    expect(readdirSync(join(target, "tmp"))).toEqual(["cache"]);
  });

  test("replace what a machine that stopped has left", () => {
    const before = objectsOf(target) as ExportedObject[];
    for (const { path, target: link, size } of before) {
      if (link !== undefined || size === 0) continue;
      chmodSync(join(target, path), 0o600);
      truncateSync(join(target, path), 0);
    }
    for (const name of commits) runOk("export", name, target);
    const withoutTime = (objects: object[]) => objects.map((object) => ({ ...object, mtime: 0 }));
    expect(withoutTime(objectsOf(target))).toEqual(withoutTime(before));
  });
});

test("files of archives can be inflated by anyone", () => {
  const target = dir.join("inflated");
  runOk("export", "large", target, "--mode", "archive");
  runOk("export", C1, target);
  let files = 0;
  for (const prefix of readdirSync(join(target, "objects"))) {
    for (const name of readdirSync(join(target, "objects", prefix))) {
      const bytes = new Uint8Array(readFileSync(join(target, "objects", prefix, name)));
      if (!name.endsWith(".filez")) {
        const checksum = createHash("sha256").update(bytes).digest("hex");
        expect(prefix + name.split(".")[0]).toBe(checksum);
        continue;
      }
      files++;
      const length = archiveHeaderLength(bytes);
      const { header, size } = parseArchiveHeader(bytes.subarray(0, length));
      const hasher = new FileHasher(header);
      if (header.target === "") {
        const content = inflateRawSync(bytes.subarray(length));
        expect(content.length).toBe(size);
        hasher.update(content);
      } else expect(bytes.length).toBe(length);
      expect<string>(hasher.digest()).toBe(prefix + name.split(".")[0]);
    }
  }
  expect(files).toBeGreaterThan(43);
});

testNeeding({ tool: "ostree" })("nothing is written while objects are removed", async () => {
  const target = dir.join("locked");
  runOk("export", "large", target, "--mode", "archive", "--reference", "r");
  {
    using lock = open(join(target, ".lock"), O_RDWR);
    expect(lockOpenFile(lock, "exclusive", false)).toBe(true);
    const args = ["--repo", repository, "ostree", "export", "canonical", target, "--reference", "s"];
    const { code, stderr } = cfsctl(args, { timeoutMs: 1000 });
    expect(code).not.toBe(0);
    expect(stderr).toContain("waiting until nobody removes objects");
  }
  runOk("export", "canonical", target, "--reference", "s");
  expect(ostree("prune", `--repo=${target}`, "--refs-only")).toContain("No unreachable objects");
});

describe("refused", () => {
  test("what has been damaged, and no ref is written", () => {
    const damaged = dir.join("damaged");
    cfsctlOk(["--repo", damaged, "init", "--insecure"]);
    cfsctlOk(["--repo", damaged, "ostree", "commit", "--dir", dir.join("large"), "--reference", "r"]);
    const objects = join(damaged, "objects");
    for (const prefix of readdirSync(objects)) {
      for (const name of readdirSync(join(objects, prefix))) {
        const path = join(objects, prefix, name);
        if (lstatSync(path).size !== 3_333_333) continue;
        const bytes = readFileSync(path);
        bytes[3_000_000]! ^= 1;
        writeFileSync(path, bytes);
      }
    }
    for (const mode of ["archive", "bare-user"]) {
      const target = dir.join(`of-damaged-${mode}`);
      const args = ["--repo", damaged, "ostree", "export", "r", target, "--mode", mode, "--reference", "r"];
      const { code, stderr, stdout } = cfsctl(args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain("file object checksum mismatch");
      expect(existsSync(join(target, "refs/heads/r"))).toBe(false);
      expect(objectsOf(target).some((object) => (object as { path: string }).path.endsWith(".commit"))).toBe(
        false,
      );
      expect(readdirSync(join(target, "tmp"))).toEqual(["cache"]);
    }
  });

  test("commits that are not canonical, in bare-user-only", () => {
    const { code, stderr } = run(
      "export",
      C1,
      dir.join("buo"),
      "--mode",
      "bare-user-only",
      "--reference",
      "r",
    );
    expect(code).toBe(1);
    expect(stderr).toContain("repositories of mode bare-user-only can't hold it");
    expect(existsSync(dir.join("buo/refs/heads/r"))).toBe(false);
  });

  const bad: [string, string[], string][] = [
    ["a repository that is not there", ["NOWHERE"], "there is no ostree repository"],
    ["a directory with other things", ["large", "--mode", "archive"], "not empty"],
    ["another mode", ["all-archive", "--mode", "bare-user"], "is of mode archive"],
    ["a ref that ostree does not take", ["all-archive", "--reference", "a//b"], "can't be a ref"],
    ["a way out", ["all-archive", "--reference", "a/../../b"], "can't be a ref"],
    ["a ref below another", ["all-archive", "--reference", "x/large/y"], "Not a directory"],
  ];
  test.each(bad)("%s", (_, [target, ...more], message) => {
    const { code, stderr } = run("export", "large", dir.join(target!), ...more);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });

  testNeeding({ tool: "ostree" })("repositories of mode bare-split-xattrs", () => {
    const target = dir.join("split");
    ostree("init", `--repo=${target}`, "--mode=bare-split-xattrs");
    const { code, stderr } = run("export", "large", target);
    expect(code).toBe(1);
    expect(stderr).toContain("bare-split-xattrs");
  });
});
