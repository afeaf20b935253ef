import { existsSync, mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { findReference } from "../test/support/reference.ts";
import { type Case, compare, measure, printHead } from "./compare.ts";
import { benchDelta } from "./delta.ts";
import { makeImageApart } from "./image.ts";
import { benchOstree } from "./ostree.ts";
import { benchRegistry } from "./registry.ts";
import { benchTools } from "./tools.ts";

/**
 * Runs this project's binary and the reference in turn on the same input, and prints what each took and the ratio.
 * Everything lies on a tmpfs, so that the disk does not take part.
 */
const FOLDER = process.env.BENCH_FOLDER ?? "/dev/shm/cfsctl-bench";
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const OURS = join(import.meta.dir, "../dist/cfsctl");

async function freshRepository(binary: string, repository: string): Promise<void> {
  rmSync(repository, { recursive: true, force: true });
  await measure([binary, "init", "--insecure", repository]);
}

async function main(): Promise<void> {
  if (!existsSync(OURS)) throw new Error("dist/cfsctl is missing: run `bun run build` first");
  const reference = findReference();
  if (reference === undefined)
    throw new Error("the reference is missing: run test/interop/install-reference");
  mkdirSync(FOLDER, { recursive: true });
  const images = {
    usual: makeImageApart(join(FOLDER, "usual"), { bytes: 1, entries: 1 }),
    moreBytes: makeImageApart(join(FOLDER, "more-bytes"), { bytes: 2, entries: 1 }),
    moreEntries: makeImageApart(join(FOLDER, "more-entries"), { bytes: 2, entries: 2 }),
  };
  console.log(`${availableParallelism()} CPUs; medians of ${ROUNDS} rounds in turn, ratios pair by pair`);
  for (const [name, { entries, plainBytes }] of Object.entries(images)) {
    console.log(`image ${name}: 2 layers, ${entries} entries, ${(plainBytes / 1e6).toFixed(0)} MB`);
  }
  printHead();
  const contest = { ours: OURS, reference, folder: FOLDER, rounds: ROUNDS };
  const run = (what: Case) => compare(what, contest);
  const pull = (layout: string) => (binary: string, repository: string) => [
    binary,
    "--repo",
    repository,
    "oci",
    "pull",
    `oci:${layout}:bench`,
    "bench",
  ];
  await run({ name: "oci pull", prepare: freshRepository, command: pull(images.usual.layout) });
  await run({ name: "oci pull, unchanged", command: pull(images.usual.layout) });
  await run({ name: "fsck", command: (binary, repository) => [binary, "--repo", repository, "fsck"] });
  await run({
    name: "oci pull, twice the bytes",
    prepare: freshRepository,
    command: pull(images.moreBytes.layout),
  });
  await run({
    name: "oci pull, and the entries",
    prepare: freshRepository,
    command: pull(images.moreEntries.layout),
  });
  await benchTools(contest);
  await benchRegistry({ ours: OURS, reference, layout: images.usual.layout, folder: FOLDER, rounds: ROUNDS });
  await benchOstree(contest);
  await benchDelta(contest);
  await run({ name: "--version", command: (binary) => [binary, "--version"] });
  rmSync(FOLDER, { recursive: true, force: true });
}

await main();
