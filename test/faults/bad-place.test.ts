import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { CFSCTL, cfsctl, cfsctlOk, type RunResult } from "../support/cfsctl.ts";
import { type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { PROJECT } from "../support/project.ts";
import { repositoryContent } from "../support/repository-content.ts";
import { testNeeding } from "../support/skip.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

let scratch: TempDir;
let image: WrittenImage;

beforeAll(() => {
  scratch = tempDir();
  const files = Array.from({ length: 300 }, (_, i) => file(`usr/${i}`, noise(20_000, i)));
  [image] = writeLayout(scratch.join("layout"), [
    { tag: "t", layers: [{ tar: writeTar([directory("usr/"), ...files]) }] },
  ]) as [WrittenImage];
});
afterAll(() => scratch[Symbol.dispose]());

const pullArgs = (repository: string) => ["--repo", repository, "oci", "pull", "oci:layout:t", "n"];
const run = (...args: string[]) => cfsctl(args, { cwd: scratch.path, timeoutMs: 20_000 });

function newRepository(name: string): string {
  const path = scratch.join(name);
  rmSync(path, { recursive: true, force: true });
  cfsctlOk(["--repo", path, "init", "--insecure"]);
  return path;
}

/** Exit code 1, one line that says why, perhaps a hint. */
function expectError(result: RunResult, says: RegExp): void {
  const lines = result.stderr.split("\n").filter((line) => line !== "" && !line.startsWith("sha256:"));
  expect(lines[0] ?? "").toMatch(says);
  expect(lines[0]).toStartWith("cfsctl: error: ");
  if (lines.length > 1) expect(lines.slice(1)).toEqual([expect.stringMatching(/^hint: /)]);
  expect(result.code).toBe(1);
}

function mounted(options: readonly string[], where: string, action: () => void): void {
  mkdirSync(where, { recursive: true });
  const mount = Bun.spawnSync(["mount", ...options, where]);
  if (!mount.success) throw new Error(mount.stderr.toString());
  try {
    action();
  } finally {
    Bun.spawnSync(["umount", where]);
  }
}

describe("a disk without room", () => {
  testNeeding("root")(
    "ends the pull with an error; with more room it succeeds",
    () => {
      const where = scratch.join("small");
      mounted(["-t", "tmpfs", "-o", "size=4m", "none"], where, () => {
        const repository = newRepository("small/r");
        expectError(run(...pullArgs(repository)), /No space left on device/);
        expect(readdirSync(repository).includes("streams")).toBe(false);
        expect(run("--repo", repository, "oci", "fsck").code).toBe(0);
        expectError(run(...pullArgs(repository)), /No space left on device/);
        expect(Bun.spawnSync(["mount", "-o", "remount,size=64m", where]).success).toBe(true);
        expect(run(...pullArgs(repository)).code).toBe(0);
        expect(run("--repo", repository, "oci", "fsck").code).toBe(0);
      });
    },
    30_000,
  );

  testNeeding("root")(
    "ends the pull with an error at whatever step it is full",
    () => {
      const where = scratch.join("tight");
      // so many that the last steps - streams, image, links - are met as well
      const outcomes = new Set<number>();
      for (let inodes = 20; inodes < 1000; inodes = Math.ceil(inodes * 1.5)) {
        mounted(["-t", "tmpfs", "-o", `size=64m,nr_inodes=${inodes}`, "none"], where, () => {
          const repository = newRepository("tight/r");
          const result = run(...pullArgs(repository));
          outcomes.add(result.code);
          if (result.code === 0) return;
          expectError(result, /No space left on device/);
          expect(run("--repo", repository, "oci", "images").stdout).toBe("No images found\n");
          expect(run("--repo", repository, "oci", "fsck").code).toBe(0);
          expect(run("--repo", repository, "gc").code).toBe(0);
        });
      }
      expect(outcomes).toEqual(new Set([1, 0]));
    },
    30_000,
  );
});

describe("a repository that can't be written to", () => {
  testNeeding("root")("on a read-only mount is read, and refuses the rest at once", () => {
    const repository = newRepository("ro");
    expect(run(...pullArgs(repository)).code).toBe(0);
    const before = repositoryContent(repository, "sha512");
    mounted(["--bind", repository], repository, () => {
      expect(Bun.spawnSync(["mount", "-o", "remount,bind,ro", repository]).success).toBe(true);
      for (const args of [["fsck"], ["oci", "fsck"], ["oci", "images"], ["oci", "dump", "n"], ["gc", "-n"]]) {
        expect(run("--repo", repository, ...args).code, args.join(" ")).toBe(0);
      }
      for (const args of [
        ["oci", "pull", "oci:layout:t", "m"],
        ["oci", "tag", image.manifest, "m"],
        ["oci", "untag", "n"],
        ["gc"],
        ["import-image", "x"],
      ]) {
        expectError(run("--repo", repository, ...args), /not writable: .*[Rr]ead-only file system/);
      }
    });
    expect(repositoryContent(repository, "sha512")).toEqual(before);
  });

  testNeeding("root", { tool: "setpriv" })("of somebody else is read, and refuses the rest at once", () => {
    const repository = newRepository("foreign");
    expect(run(...pullArgs(repository)).code).toBe(0);
    chmodSync(scratch.path, 0o755);
    chmodSync(repository, 0o755);
    const program = scratch.join("cfsctl");
    copyFileSync(CFSCTL, program);
    const asNobody = (...args: string[]): RunResult => {
      const drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
      const result = Bun.spawnSync([...drop, program, "--repo", repository, ...args], {
        cwd: scratch.path,
        stdout: "pipe",
        stderr: "pipe",
      });
      return { code: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
    };
    expect(asNobody("oci", "images").stdout).toContain("amd64");
    expect(asNobody("oci", "fsck").code).toBe(0);
    for (const args of [["oci", "pull", "oci:layout:t", "m"], ["oci", "untag", "n"], ["gc"]]) {
      expectError(asNobody(...args), /not writable/);
    }
    chmodSync(repository, 0o700);
    expectError(asNobody("oci", "images"), /foreign.*Permission denied/);
    expectError(asNobody("init", scratch.join("denied")), /denied.*Permission denied/);

    // its own repository, but with a part that is not
    chownSync(repository, 65534, 65534);
    for (const part of ["objects", "streams"]) chmodSync(join(repository, part), 0o755);
    expectError(asNobody("oci", "pull", "oci:layout:t", "m"), /Permission denied/);
  });

  test("for its features is read, and refuses the rest at once", () => {
    const repository = newRepository("newer");
    expect(run(...pullArgs(repository)).code).toBe(0);
    const metaPath = join(repository, "meta.json");
    const meta = JSON.parse(readFileSync(metaPath, "utf8"));
    meta.features["read-only-compatible"].push("written_differently");
    writeFileSync(metaPath, JSON.stringify(meta));
    for (const args of [["fsck"], ["oci", "images"], ["oci", "dump", "n"], ["gc", "-n"]]) {
      expect(run("--repo", repository, ...args).code, args.join(" ")).toBe(0);
    }
    for (const args of [["oci", "pull", "oci:layout:t", "m"], ["oci", "untag", "n"], ["gc"]]) {
      expectError(run("--repo", repository, ...args), /written_differently/);
    }
    meta.features.incompatible.push("read_differently");
    writeFileSync(metaPath, JSON.stringify(meta));
    for (const args of [["fsck"], ["oci", "images"], ["gc"]]) {
      expectError(run("--repo", repository, ...args), /read_differently/);
    }
  });

  test.each([
    ["is missing", () => {}, /missing.*No such file or directory/],
    ["is a file", (path: string) => writeFileSync(path, ""), /Not a directory/],
    ["is empty", (path: string) => mkdirSync(path), /meta\.json/],
  ])("because it %s", (name, make, says) => {
    const path = scratch.join(`there-${name.replaceAll(" ", "-")}`);
    make(path);
    for (const args of [["oci", "images"], ["oci", "pull", "oci:layout:t"], ["gc"], ["fsck"]]) {
      expectError(run("--repo", path, ...args), says);
    }
  });
});

/** Each directory holds the next twice: 2^40 paths in a few kilobytes. */
const DOUBLING = zstdDecompressSync(
  readFileSync(join(PROJECT, "fixtures/erofs/invalid-images/dir-doubling-40.v1.erofs.zst")),
);

describe("an image that has no end", () => {
  test("is not imported", () => {
    const repository = newRepository("doubling");
    const result = cfsctl(["--repo", repository, "import-image", "x"], {
      stdin: DOUBLING,
      timeoutMs: 20_000,
    });
    expectError(result, /image/);
    expect(run("--repo", repository, "images").stdout).toBe("No images found\n");
    expect(run("--repo", repository, "fsck").code).toBe(0);
  });

  test("keeps nobody busy, and is found by a deep fsck", () => {
    const repository = newRepository("doubled");
    expect(run(...pullArgs(repository)).code).toBe(0);
    const id = fsVerityDigest(DOUBLING, SHA512);
    mkdirSync(join(repository, "objects", id.slice(0, 2)), { recursive: true });
    writeFileSync(join(repository, "objects", id.slice(0, 2), id.slice(2)), DOUBLING);
    mkdirSync(join(repository, "images", "refs"), { recursive: true });
    Bun.spawnSync([
      "ln",
      "-s",
      `../objects/${id.slice(0, 2)}/${id.slice(2)}`,
      join(repository, "images", id),
    ]);
    Bun.spawnSync(["ln", "-s", `../${id}`, join(repository, "images", "refs", "x")]);
    cfsctlOk(["--repo", repository, "gc"]);
    const before = repositoryContent(repository, "sha512");
    // as the reference, fsck only looks whether the objects are there that any directory names
    for (const args of [["fsck"], ["image-objects", "x"], ["gc"]]) {
      expect(run("--repo", repository, ...args).code, args.join(" ")).toBe(0);
    }
    const checked = run("--repo", repository, "fsck", "--deep");
    expect(checked.code).toBe(1);
    expect(checked.stdout).toContain(`fsck: image-not-canonical: images/${id}`);
    expect(repositoryContent(repository, "sha512")).toEqual(before);
  });
});
