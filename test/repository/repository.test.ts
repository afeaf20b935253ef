import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CfsError, describeError } from "../../src/errors.ts";
import { initRepository } from "../../src/repository/init.ts";
import { repositoryPath } from "../../src/repository/location.ts";
import { Repository } from "../../src/repository/repository.ts";
import { linkStream } from "../../src/repository/streams.ts";
import { flock, LOCK_EX, LOCK_NB, LOCK_UN, O_DIRECTORY, O_RDONLY, open } from "../../src/sys/file.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";
import { openListening, Scratch } from "./support.ts";

const INSECURE = { algorithm: SHA256, erofsVersion: 1, verity: false } as const;

function failure(action: () => unknown): CfsError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(CfsError);
    return error as CfsError;
  }
  throw new Error("nothing was thrown");
}

describe("which repository", () => {
  test.each([
    [{ repo: "x" }, { HOME: "/h" }, 1000, "x"],
    [{}, { HOME: "/h" }, 0, "/sysroot/composefs"],
    [{ system: true }, {}, 1000, "/sysroot/composefs"],
    [{}, { HOME: "/h" }, 1000, "/h/.var/lib/composefs"],
    [{ user: true }, { HOME: "/h/" }, 0, "/h/.var/lib/composefs"],
  ])("%j with %j as uid %d", (choice, environment, uid, expected) => {
    expect(repositoryPath(choice, environment, uid)).toBe(expected);
  });

  test("without HOME", () => {
    expect(failure(() => repositoryPath({ user: true }, {}, 1000)).message).toContain("$HOME");
  });
});

describe("init", () => {
  test("makes a directory of mode 0700 below new parents", () => {
    using scratch = new Scratch();
    const path = scratch.join("a/b/r");
    expect(initRepository(path, INSECURE)).toMatchObject({ outcome: "created", verity: false });
    expect(statSync(path).mode & 0o7777).toBe(0o700);
    expect(statSync(`${path}/meta.json`).mode & 0o7777).toBe(0o644);
    expect(readdirSync(path)).toEqual(["meta.json"]);
    expect(initRepository(path, INSECURE)).toEqual({ outcome: "existing" });
    expect(failure(() => initRepository(path, { ...INSECURE, erofsVersion: 2 })).kind).toBe("Exists");
    expect(initRepository(path, { ...INSECURE, erofsVersion: 2, ensure: true }).outcome).toBe("existing");
    const other = { ...INSECURE, algorithm: SHA512, ensure: true };
    expect(failure(() => initRepository(path, other)).message).toContain("fsverity-sha256-12");
  });

  test("a reset that can't write its new meta.json removes nothing", () => {
    using scratch = new Scratch();
    const path = scratch.unpack("repos/full-sha256.tar.gz");
    const reset = { ...INSECURE, algorithm: SHA512, resetMetadata: true };
    if (initRepositoryWithVerity(scratch) === "supported") {
      console.log("skipped: the temporary directory has fs-verity, so asking for it does not fail");
    } else {
      expect(failure(() => initRepository(path, { ...reset, verity: true })).kind).toBe("Unsupported");
      expect(existsSync(`${path}/streams/refs/my/edge`)).toBe(true);
      Repository.open(path)[Symbol.dispose]();
    }
    expect(initRepository(path, reset).outcome).toBe("created");
    expect(readdirSync(path).sort()).toEqual(["meta.json", "objects"]);
  });

  function initRepositoryWithVerity(scratch: Scratch): string {
    try {
      initRepository(scratch.join("probe"), { ...INSECURE, verity: true });
      return "supported";
    } catch {
      expect(readdirSync(scratch.join("probe"))).toEqual([]);
      return "unsupported";
    }
  }
});

describe("opening", () => {
  test("checks what the caller expects", () => {
    using scratch = new Scratch();
    const path = scratch.init();
    expect(failure(() => Repository.open(path, { hash: "sha512" })).message).toContain("--hash sha512");
    expect(failure(() => Repository.open(path, { requireVerity: true })).hint).toContain("cfsctl init");
    expect(describeError(failure(() => Repository.open(scratch.join("no"))))).toContain("No such file");
    expect(failure(() => Repository.open(scratch.mkdir("empty"))).kind).toBe("NotFound");
    expect(failure(() => Repository.open(`${path}/meta.json`))).toBeInstanceOf(CfsError);
    using repository = Repository.open(path, { hash: "sha256", erofsVersion: 2 });
    expect([repository.algorithm, repository.secure, repository.erofsVersion]).toEqual([SHA256, false, 2]);
  });

  test("a meta.json that is a link is refused", () => {
    using scratch = new Scratch();
    const path = scratch.init();
    rmSync(`${path}/meta.json`);
    Bun.spawnSync(["ln", "-s", "/etc/hostname", `${path}/meta.json`]);
    expect(failure(() => Repository.open(path))).toBeInstanceOf(CfsError);
  });

  test("unknown read-only-compatible features allow reading and forbid writing", () => {
    using scratch = new Scratch();
    const path = scratch.init();
    const meta = JSON.parse(readFileSync(`${path}/meta.json`, "utf8"));
    meta.features["read-only-compatible"].push("later");
    writeFileSync(`${path}/meta.json`, JSON.stringify(meta));
    using repository = Repository.open(path);
    const error = failure(() => repository.ensureWritable());
    expect(error.kind).toBe("Unsupported");
    expect(error.message).toContain('["later"]');
    const link = () => linkStream(repository, "s", "00".repeat(32) as never);
    expect(failure(link).kind).toBe("Unsupported");
    expect(readdirSync(path)).toEqual(["meta.json"]);
  });

  test("a repository that may not be written to is still read", () => {
    using scratch = new Scratch();
    const path = scratch.init();
    // Root may write to every directory: somebody else has to try.
    if (process.getuid?.() === 0) {
      chmodSync(dirname(path), 0o755);
      chownSync(path, 65534, 65534);
      chownSync(`${path}/meta.json`, 65534, 65534);
    }
    chmodSync(path, 0o500);
    const module = JSON.stringify(join(import.meta.dir, "../../src/repository/repository.ts"));
    const script = `const { Repository } = await import(${module});
      using repository = Repository.open(${JSON.stringify(path)});
      try { repository.ensureWritable(); } catch (error) { console.log(error.kind); }`;
    const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    const run = (code: string) =>
      spawnSync(process.execPath, ["-e", code], { ...asNobody, cwd: "/", encoding: "utf8" });
    if (run(`await import(${module})`).status !== 0) {
      console.log("skipped: the project lies where only root may read it");
      return;
    }
    expect(run(script).stdout.trim()).toBe("Permission");
  });
});

describe("a repository without meta.json", () => {
  test.each([
    ["repos/meta-old-format-upgrade.tar.gz", SHA256],
    ["repos/meta-old-format-upgrade-sha512.tar.gz", SHA512],
  ])("%s gets one with the first write, not before", (archive, algorithm) => {
    using scratch = new Scratch();
    const path = scratch.unpack(archive);
    expect(failure(() => Repository.open(path, { upgrade: false })).message).toContain("cfsctl init");
    const { repository, said } = openListening(path);
    using opened = repository;
    expect(opened.algorithm).toBe(algorithm);
    expect(opened.erofsVersion).toBe(1);
    expect(opened.hasMetaFile).toBe(false);
    expect(existsSync(`${path}/meta.json`)).toBe(false);
    opened.ensureWritable();
    opened.ensureWritable();
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(algorithm.id);
    expect(JSON.parse(readFileSync(`${path}/meta.json`, "utf8"))).toMatchObject({
      algorithm: algorithm.id,
      erofs_formats: { default: 1 },
    });
  });

  test("without a single object nothing is known", () => {
    using scratch = new Scratch();
    const path = scratch.mkdir("r");
    mkdirSync(`${path}/objects/00`, { recursive: true });
    expect(failure(() => Repository.open(path)).kind).toBe("NotFound");
  });
});

describe("locks", () => {
  test("an open repository can't be locked exclusively by others", () => {
    using scratch = new Scratch();
    const path = scratch.init();
    using other = open(path, O_RDONLY | O_DIRECTORY);
    {
      using _ = Repository.open(path);
      using second = Repository.open(path);
      expect(second.path).toBe(path);
      expect(flock(other, LOCK_EX | LOCK_NB)).toBe(false);
    }
    expect(flock(other, LOCK_EX | LOCK_NB)).toBe(true);
  });

  test("who has to wait says so", async () => {
    using scratch = new Scratch();
    const path = scratch.init();
    const holder = Bun.spawn(["flock", "--shared", path, "sleep", "0.4"]);
    using probe = open(path, O_RDONLY | O_DIRECTORY);
    for (let i = 0; flock(probe, LOCK_EX | LOCK_NB) && i < 200; i++) {
      flock(probe, LOCK_UN);
      await Bun.sleep(5);
    }
    const { repository, said } = openListening(path);
    using opened = repository;
    expect(opened.exclusively(() => 7)).toBe(7);
    expect(said).toEqual([`waiting for other users of ${path} to finish`]);
    await holder.exited;
  });
});
