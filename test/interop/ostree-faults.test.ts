import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { type FaultRates, randomFaults } from "../ostree/fault-script.ts";
import { serveFiles } from "../ostree/static-server.ts";
import { linksOf } from "../ostree/support.ts";
import { cfsctlOk, runCfsctl } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import { testNeeding } from "../support/skip.ts";
import { noise } from "../support/tar-writer.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

/** Pulls what ostree has committed from a server that fails at random, by the built program. */

const FILES = 400;
const FOLDERS = 30;
const MAX_PULLS = 40;
const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));

let scratch: TempDir;
let archive: string;
let first: string;
let last: string;
let serial = 0;

beforeAll(() => {
  scratch = tempDirInMemory(200e6);
  archive = scratch.join("archive");
  if (Bun.which("ostree") === null) return;
  const ostree = (...args: string[]) => {
    const { stdout, stderr, success } = Bun.spawnSync(["ostree", `--repo=${archive}`, ...args]);
    if (!success) throw new Error(`ostree ${args.join(" ")}: ${stderr.toString()}`);
    return stdout.toString().trim();
  };
  const tree = scratch.join("tree");
  for (let i = 0; i < FOLDERS; i++) mkdirSync(`${tree}/${i % 5}/${i}`, { recursive: true });
  for (let i = 0; i < FILES; i++) {
    const folder = i % FOLDERS;
    writeFileSync(`${tree}/${folder % 5}/${folder}/file-${i}`, noise(i === 7 ? 3_000_000 : 100 + i * 50, i));
  }
  ostree("init", "--mode=archive");
  first = ostree("commit", "-b", "main", tree);
  for (let i = 0; i < FILES; i += 4) writeFileSync(`${tree}/0/0/new-${i}`, noise(5000 + i, FILES + i));
  last = ostree("commit", "-b", "main", tree);
  ostree("static-delta", "generate", `--from=${first}`, `--to=${last}`);
  ostree("summary", "-u");
});
afterAll(() => scratch[Symbol.dispose]());

function newRepository(algorithm: string): string {
  const repository = scratch.join(`repository-${serial++}`);
  cfsctlOk(["--repo", repository, "init", "--insecure", "--algorithm", `fsverity-${algorithm}-12`]);
  return repository;
}

const imageOf = (repository: string) => cfsctlOk(["--repo", repository, "ostree", "compute-id", last]).trim();

function expectSound(repository: string): void {
  expect(cfsctlOk(["--repo", repository, "fsck"])).toContain("status: ok");
  expect(cfsctlOk(["--repo", repository, "ostree", "fsck"])).toContain("status: ok");
}

/** Ids of the objects at some paths of an archive. */
const idsOf = (paths: readonly string[]) =>
  paths.map((path) => path.replace("/objects/", "").replace("/", "").replace(/\..*/, ""));

interface Case {
  readonly what: string;
  readonly algorithm: string;
  readonly rates: FaultRates;
  /** Pull the first commit before, so that there is a delta to the second one. */
  readonly delta?: boolean;
}

const CASES: Case[] = [
  {
    what: "drops requests, is busy, and speaks in unusual ways",
    algorithm: "sha256",
    rates: { drop: 10, busy: 12, unusual: 8 },
  },
  { what: "changes a byte now and then", algorithm: "sha512", rates: { drop: 30, wrongByte: 120 } },
  {
    what: "does so with static deltas",
    algorithm: "sha256",
    delta: true,
    rates: { drop: 6, busy: 9, wrongByte: 25 },
  },
];

describe("a server that", () => {
  testNeeding({ tool: "ostree" }).each(CASES)(
    "$what: pulls end right, or name what is wrong",
    async ({ algorithm, rates, delta = false }) => {
      console.log(`TEST_SEED=${SEED}`);
      const direct = newRepository(algorithm);
      cfsctlOk(["--repo", direct, "ostree", "pull-local", archive, "main"]);
      const repository = newRepository(algorithm);
      if (delta) cfsctlOk(["--repo", repository, "ostree", "pull-local", archive, first]);

      using server = await serveFiles(archive);
      const script = randomFaults(new Choices(SEED), rates);
      server.fault = script.fault;
      const more = delta ? [] : ["--no-delta"];
      const pull = () =>
        runCfsctl(
          ["--repo", repository, "--progress", "none", "ostree", "pull", ...more, server.url, "main"],
          {
            timeoutMs: 60_000,
          },
        );
      let result = await pull();
      for (let pulls = 1; result.code !== 0 && pulls < MAX_PULLS; pulls++) {
        // the summary and refs have no checksum: what they say wrong is not found
        const paths = script.takeWrong();
        const wrong = idsOf(paths.filter((path) => path.startsWith("/objects/")));
        const isNamed = wrong.some((id) => result.stderr.includes(id)) || wrong.length < paths.length;
        expect({ code: result.code, isNamed, stderr: isNamed ? "" : result.stderr }).toEqual({
          code: 1,
          isNamed: true,
          stderr: "",
        });
        expect(
          Object.keys(linksOf(repository)).filter((path) => path.startsWith("streams/refs/ostree/")),
        ).toEqual([]);
        expectSound(repository);
        result = await pull();
      }
      expect({ code: result.code, stderr: result.code === 0 ? "" : result.stderr }).toEqual({
        code: 0,
        stderr: "",
      });
      expectSound(repository);
      expect(imageOf(repository)).toBe(imageOf(direct));
    },
    120_000,
  );
});
