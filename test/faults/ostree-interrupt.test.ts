import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Checksum } from "../../src/ostree/checksum.ts";
import { ArchiveMaker } from "../ostree/archive-maker.ts";
import { type StaticServer, serveFiles } from "../ostree/static-server.ts";
import { CFSCTL, cfsctlOk } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import { findReference } from "../support/reference.ts";
import { listObjects, repositoryContent } from "../support/repository-content.ts";
import { noise } from "../support/tar-writer.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

/** Commands for commits of ostree that are killed: nothing wrong is left, and the next one goes on. */

const FILES = 600;
const MOMENTS = 4;
const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const hasOstree = Bun.which("ostree") !== null;

let scratch: TempDir;
let server: StaticServer;
let archive: string;
let tree: string;
let first: Checksum;
let second: Checksum;
let delta: string;
let repository: string;
let exported: string;

beforeAll(async () => {
  scratch = tempDirInMemory(300e6);
  repository = scratch.join("repository");
  exported = scratch.join("exported");
  archive = scratch.join("archive");
  tree = scratch.join("tree");
  const content = (i: number, seed: number) => noise(i === 5 ? 3_000_000 : 40 + i * 12, seed);
  const files = Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`file-${i}`, content(i, i)]));
  const changed = Object.fromEntries(
    Array.from({ length: FILES / 2 }, (_, i) => [`file-${2 * i}`, content(i, FILES + i)]),
  );
  mkdirSync(tree);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(tree, name), bytes);
  const maker = new ArchiveMaker(archive);
  mkdirSync(join(archive, "tmp"));
  first = maker.commit("first", files);
  second = maker.commit("second", { ...files, ...changed }, first);
  const made = JSON.parse(
    cfsctlOk(["--no-repo", "ostree", "delta", "create", archive, first, second, "--inline", "--json"]),
  );
  delta = join(archive, made.path, "superblock");
  maker.summary({ first, second });
  server = await serveFiles(archive);
}, 60_000);
afterAll(() => {
  server[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

interface Interrupted {
  readonly what: string;
  readonly prepare?: () => void;
  readonly args: () => string[];
  /** Name, or id, of the commit that there is in the end. */
  readonly result: () => string;
}

const inRepository = (...args: string[]) => ["--repo", repository, "--progress", "none", ...args];
const pullFirst = () => void cfsctlOk(inRepository("ostree", "pull-local", archive, "first"));
const exportTo = (mode: string): Interrupted => ({
  what: `export to ${mode}`,
  prepare: pullFirst,
  args: () => ["ostree", "export", "first", exported, "--mode", mode, "--reference", "ref"],
  result: () => "first",
});

const COMMANDS: Interrupted[] = [
  { what: "pull-local", args: () => ["ostree", "pull-local", archive, "first"], result: () => "first" },
  {
    what: "pull",
    args: () => ["ostree", "pull", "--no-delta", server.url, "first"],
    result: () => "first",
  },
  {
    what: "apply-delta",
    prepare: pullFirst,
    args: () => ["ostree", "apply-delta", delta],
    result: () => second,
  },
  {
    what: "commit",
    args: () => [
      "ostree",
      "commit",
      "--dir",
      tree,
      "--reference",
      "made",
      "--timestamp",
      "1",
      "--parent",
      "none",
    ],
    result: () => "made",
  },
  exportTo("archive"),
  exportTo("bare-user"),
];

function prepare({ prepare }: Interrupted): void {
  rmSync(repository, { recursive: true, force: true });
  rmSync(exported, { recursive: true, force: true });
  cfsctlOk(["--repo", repository, "init", "--insecure"]);
  prepare?.();
  server.takeRequests();
}

const start = (args: readonly string[]) =>
  Bun.spawn([CFSCTL, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });

/** @returns what it printed. */
async function complete({ args }: Interrupted): Promise<string> {
  const child = start(inRepository(...args()));
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  // what was there already is counted differently, and has its final stream
  return stdout.replace(/^(objects|verity) .*\n/gm, "");
}

function expectSound(): void {
  expect(cfsctlOk(inRepository("fsck"))).toContain("status: ok");
  expect(cfsctlOk(inRepository("ostree", "fsck"))).toContain("status: ok");
  const reference = findReference();
  if (reference !== undefined) {
    const { stdout } = Bun.spawnSync([reference, "--repo", repository, "fsck"]);
    expect(stdout.toString()).toContain("status: ok");
  }
  if (!existsSync(join(exported, "config")) || !hasOstree) return;
  const { exitCode, stderr } = Bun.spawnSync(["ostree", `--repo=${exported}`, "fsck"], { stderr: "pipe" });
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
}

/** All that matters of both repositories. */
function contents() {
  const names = (folder: string): string[] =>
    existsSync(folder) ? (readdirSync(folder, { recursive: true }) as string[]).sort() : [];
  const ref = join(exported, "refs", "heads", "ref");
  cfsctlOk(inRepository("gc"));
  return {
    own: repositoryContent(repository, "sha512"),
    left: names(repository).filter((name) => name.startsWith("tmp/")),
    exported: names(join(exported, "objects")),
    ref: existsSync(ref) && readFileSync(ref, "latin1"),
  };
}

/** Content of each file of a commit that has it in an object, by checksum. */
function objectsOf(commit: string): Map<string, string> {
  const { objects } = JSON.parse(cfsctlOk(inRepository("ostree", "inspect", "--json", commit))) as {
    objects: { checksum: string; object?: string }[];
  };
  return new Map(objects.flatMap(({ checksum, object }) => (object ? [[checksum, object]] : [])));
}

const requestedFiles = () =>
  server
    .takeRequests()
    .filter((path) => path.endsWith(".filez"))
    .map((path) => path.replace("/objects/", "").replace("/", "").replace(".filez", ""));

test.each(COMMANDS)(
  "$what that is killed leaves what is sound, and the next one ends the work",
  async (command) => {
    console.log(`TEST_SEED=${SEED}`);
    const choices = new Choices(SEED);
    prepare(command);
    const started = performance.now();
    const printed = await complete(command);
    const wholeMs = performance.now() - started;
    const objects = objectsOf(command.result());
    const whole = contents();
    let interrupted = 0;
    for (let i = 0; i < MOMENTS; i++) {
      prepare(command);
      const child = start(inRepository(...command.args()));
      await Bun.sleep(choices.below(wholeMs));
      child.kill("SIGKILL");
      await child.exited;
      if (child.signalCode === "SIGKILL") interrupted++;
      expectSound();
      server.takeRequests();
      const linked = new Set(listObjects(repository).map((path) => path.replace("/", "")));
      expect(await complete(command)).toBe(printed);
      const again = requestedFiles().filter((file) => linked.has(objects.get(file) ?? ""));
      expect(again).toEqual([]);
      expectSound();
      expect(contents()).toEqual(whole);
    }
    // otherwise the moments were not in the middle of things
    expect(interrupted).toBeGreaterThan(0);
  },
  120_000,
);
