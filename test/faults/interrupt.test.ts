import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CFSCTL, cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { findReference } from "../support/reference.ts";
import { listObjects, type RepositoryContent, repositoryContent } from "../support/repository-content.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

const MOMENTS = 20;
const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

let scratch: TempDir;
let whole: RepositoryContent;
let pullMs: number;

beforeAll(() => {
  scratch = tempDirInMemory(200e6);
  let seed = 1;
  const layer = (name: string, files: number) =>
    writeTar([
      directory("usr/"),
      directory(`usr/${name}/`),
      file(`usr/${name}/large`, noise(3_000_000, seed++)),
      ...Array.from({ length: files }, (_, i) => file(`usr/${name}/${i}`, noise(6000, seed++))),
    ]);
  writeLayout(scratch.join("layout"), [
    {
      tag: "t",
      layers: [
        { tar: layer("a", 500) },
        { tar: layer("b", 350), packing: "zstd" },
        { tar: layer("c", 150), packing: "plain" },
      ],
    },
  ]);
  pullMs = Number.POSITIVE_INFINITY;
  let repository = "";
  for (let i = 0; i < 3; i++) {
    repository = newRepository();
    const started = performance.now();
    cfsctlOk(pullArgs(repository));
    pullMs = Math.min(pullMs, performance.now() - started);
  }
  cfsctlOk(["--repo", repository, "gc"]);
  whole = repositoryContent(repository, "sha512");
});
afterAll(() => scratch[Symbol.dispose]());

const pullArgs = (repository: string) => [
  "--repo",
  repository,
  "oci",
  "pull",
  `oci:${scratch.join("layout")}:t`,
  "n",
];

function newRepository(): string {
  const path = scratch.join("repository");
  rmSync(path, { recursive: true, force: true });
  cfsctlOk(["--repo", path, "init", "--insecure"]);
  return path;
}

function start(args: readonly string[], program = CFSCTL): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn([program, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
}

function expectSound(repository: string): void {
  expect(cfsctl(["--repo", repository, "oci", "fsck"])).toEqual({
    code: 0,
    stdout: expect.stringContaining("status: ok"),
    stderr: "",
  });
}

/** The image is there as if it had been pulled into an empty repository. */
function expectWhole(repository: string): void {
  expectSound(repository);
  cfsctlOk(["--repo", repository, "gc"]);
  expect(repositoryContent(repository, "sha512")).toEqual(whole);
}

function names(path: string): string[] {
  return existsSync(path) ? readdirSync(path).sort() : [];
}

/** The same numbers for the same seed, from 0 up to 1. */
function* randomNumbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

describe("a pull", () => {
  test("that is killed leaves a sound repository, and the next one ends the work", async () => {
    console.log(`TEST_SEED=${SEED}`);
    const random = randomNumbers(SEED);
    let interrupted = 0;
    let found = 0;
    for (let i = 0; i < MOMENTS; i++) {
      const repository = newRepository();
      const pull = start(pullArgs(repository));
      await Bun.sleep(random.next().value * pullMs);
      pull.kill("SIGKILL");
      await pull.exited;
      if (pull.signalCode === "SIGKILL") interrupted++;
      const tagged = names(join(repository, "streams", "refs", "oci")).length > 0;
      const left = listObjects(repository).length;
      if (left > 0 && !tagged) found++;
      expectSound(repository);
      if (i % 2 === 0 && !tagged) {
        cfsctlOk(["--repo", repository, "gc"]);
        expect(listObjects(repository)).toEqual([]);
        expect(names(repository).filter((name) => name.startsWith("."))).toEqual([]);
        expect(names(join(repository, "streams")).concat(names(join(repository, "images")))).toEqual([]);
      }
      cfsctlOk(pullArgs(repository));
      expectWhole(repository);
    }
    // otherwise the moments were not in the middle of things
    expect(interrupted).toBeGreaterThan(MOMENTS / 4);
    expect(found).toBeGreaterThan(1);
  }, 120_000);

  test.each(["SIGINT", "SIGTERM"] as const)(
    "ends at once by %s",
    async (signal) => {
      let interrupted = 0;
      for (const part of [0.1, 0.3, 0.6]) {
        const repository = newRepository();
        const pull = start(pullArgs(repository));
        await Bun.sleep(part * pullMs);
        const asked = performance.now();
        pull.kill(signal);
        await pull.exited;
        expect(performance.now() - asked).toBeLessThan(1000);
        // what a shell shows as 130 and 143
        if (pull.signalCode === signal) interrupted++;
        else expect(pull.exitCode).toBe(0);
        expect(await pull.stderr.text()).not.toMatch(/^\s+at /m);
        expectSound(repository);
        cfsctlOk(pullArgs(repository));
        expectWhole(repository);
      }
      expect(interrupted).toBeGreaterThan(0);
    },
    60_000,
  );
});

describe("two at a time in one repository", () => {
  const both = async (...commands: Bun.Subprocess<"ignore", "pipe", "pipe">[]) => {
    const results = await Promise.all(
      commands.map(async (command) => ({
        stderr: (await command.stderr.text()).replaceAll(/^sha256:.*\n/gm, ""),
        stdout: await command.stdout.text(),
        code: await command.exited,
      })),
    );
    return results;
  };

  test.each([0, 0.2, 0.5])(
    "pulls of the same image, one %d of its time later",
    async (delay) => {
      const repository = newRepository();
      const first = start(pullArgs(repository));
      await Bun.sleep(delay * pullMs);
      const results = await both(first, start(pullArgs(repository)));
      expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual([
        { code: 0, stderr: "" },
        { code: 0, stderr: "" },
      ]);
      const said = results.map(({ stdout }) => stdout.split("\n").slice(0, 4));
      expect(said[0]).toEqual(said[1]);
      expectWhole(repository);
    },
    60_000,
  );

  test.each([0, 0.1, 0.3, 0.6, 0.9])(
    "a pull, and gc after %d of its time",
    async (delay) => {
      const repository = newRepository();
      const pull = start(pullArgs(repository));
      await Bun.sleep(delay * pullMs);
      const [pulled, collected] = await both(pull, start(["--repo", repository, "gc"]));
      expect([pulled!.code, pulled!.stderr, collected!.code]).toEqual([0, "", 0]);
      expectWhole(repository);
    },
    60_000,
  );

  const reference = findReference();
  if (reference === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");
  test.skipIf(reference === undefined).each([0, 0.3])(
    "a pull by the reference, and ours after %d",
    async (delay) => {
      const repository = newRepository();
      const theirs = start(pullArgs(repository), reference);
      await Bun.sleep(delay * pullMs);
      const results = await both(theirs, start(pullArgs(repository)));
      expect(results.map(({ code }) => code)).toEqual([0, 0]);
      expectWhole(repository);
    },
    60_000,
  );
});

describe("a gc that is killed", () => {
  test("leaves nothing that the next gc or pull would not put right", async () => {
    const random = randomNumbers(SEED + 1);
    const repository = newRepository();
    for (let i = 0; i < 10; i++) {
      cfsctlOk(pullArgs(repository));
      cfsctlOk(["--repo", repository, "oci", "untag", "n"]);
      const gc = start(["--repo", repository, "gc"]);
      await Bun.sleep(10 + random.next().value * 60);
      gc.kill("SIGKILL");
      await gc.exited;
      if (i % 2 === 0) {
        cfsctlOk(["--repo", repository, "gc"]);
        expectSound(repository);
        expect(listObjects(repository)).toEqual([]);
      } else {
        cfsctlOk(pullArgs(repository));
        expectWhole(repository);
      }
    }
  }, 60_000);
});
