import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { PROJECT } from "../test/support/project.ts";
import { findReference } from "../test/support/reference.ts";
import { findTarDiff } from "../test/support/tar-patch.ts";
import { type Case, type Contest, compare, measure, printHead } from "./compare.ts";
import { type ImagePair, makePair } from "./delta-images.ts";
import { measureTree } from "./process-tree.ts";

const TAR_DIFF = "application/vnd.tar-diff";

/**
 * Makes deltas between images, beside Go's tar-diff, and applies them beside composefs-rs, with one thread and with two.
 * @param pairs one of images with four layers, unless given.
 */
export async function benchDelta(contest: Contest, pairs?: readonly ImagePair[]): Promise<void> {
  const made = join(contest.folder, "images");
  for (const pair of pairs ?? [makePair(made)]) {
    const delta = join(contest.folder, "delta");
    await benchCreate(contest, pair, delta);
    await benchApply(contest, pair, delta);
    for (const who of ["ours", "reference"])
      rmSync(join(contest.folder, `repository-${who}-base`), { recursive: true });
    rmSync(delta, { recursive: true });
  }
  rmSync(made, { recursive: true, force: true });
}

/** Makes the delta that is left in `delta`. */
async function benchCreate(contest: Contest, { name, old, young }: ImagePair, delta: string): Promise<void> {
  const create = (binary: string, to: string) => [
    binary,
    "--no-repo",
    "oci",
    "delta",
    "create",
    `oci:${old}`,
    `oci:${young}`,
    `oci:${to}`,
  ];
  const tarDiff = findTarDiff();
  if (tarDiff === undefined) {
    console.log(`create, ${name}: skipped, needs tar-diff: run test/interop/install-tar-patch`);
    await measure(create(contest.ours, delta));
    return;
  }
  const changed = layersOf(young).filter((digest) => !layersOf(old).includes(digest));
  const blobs = layersOf(old).map((digest) => blobPath(old, digest));
  const script = changed
    .map(
      (digest, i) =>
        `"$1" -apply-whiteouts -tmp-dir "$2" ${blobs.join(" ")} ${blobPath(young, digest)} "$2/${i}" || exit 1`,
    )
    .join("\n");
  const prepare = async (_: string, repository: string) => {
    rmSync(repository, { recursive: true, force: true });
    mkdirSync(repository, { recursive: true });
  };
  const command = (binary: string, repository: string) =>
    binary === tarDiff
      ? ["sh", "-c", script, "sh", tarDiff, repository]
      : ["env", `TMPDIR=${repository}`, ...create(binary, join(repository, "delta"))];
  await compare(
    { name: `create, ${name}, Go`, prepare, command },
    { ...contest, reference: tarDiff, rounds: 1 },
  );
  await measure(create(contest.ours, delta));
  const theirs = join(contest.folder, "repository-reference");
  const ours = deltaLayers(delta);
  console.log(
    changed
      .map(
        (digest, i) =>
          `layer ${i}: ${ours.get(digest) ?? "as published"} bytes, of Go ${statSync(join(theirs, `${i}`)).size}`,
      )
      .join("\n"),
  );
}

async function benchApply(contest: Contest, { name, old }: ImagePair, delta: string): Promise<void> {
  const apply: Case = {
    name: `apply, ${name}`,
    prepare: async (binary, repository) => await withSource(binary, repository, old),
    command: (binary, repository) => pull(binary, repository, delta),
  };
  await compare(apply, contest);
  for (const [who, binary] of Object.entries({ ours: contest.ours, reference: contest.reference })) {
    const repository = join(contest.folder, `repository-${who}`);
    await withSource(binary, repository, old);
    const { disk } = await measureTree(pull(binary, repository, delta), { env: {}, folder: contest.folder });
    console.log(`apply, ${name}, ${who}: ${disk.toFixed(0)} MB of temporary files`);
  }
  // The same program by another name is the one that has a single thread.
  const single = join(contest.folder, "single");
  rmSync(single, { force: true });
  symlinkSync(contest.ours, single);
  await compare(
    {
      name: `apply, ${name}, 2 jobs to 1`,
      prepare: async (_, repository) => await withSource(contest.ours, repository, old),
      command: (binary, repository) => [
        ...pull(binary, repository, delta),
        "--jobs",
        binary === single ? "1" : "2",
      ],
    },
    { ...contest, reference: single },
  );
}

function pull(binary: string, repository: string, delta: string): string[] {
  return [binary, "--repo", repository, "oci", "pull", `oci:${delta}`, "new"];
}

/** A repository with nothing but the image that the delta starts from. */
async function withSource(binary: string, repository: string, old: string): Promise<void> {
  const base = `${repository}-base`;
  if (!existsSync(base)) {
    await measure([binary, "init", "--insecure", base]);
    await measure([binary, "--repo", base, "oci", "pull", `oci:${old}`, "old"]);
  }
  rmSync(repository, { recursive: true, force: true });
  // Objects are never written again: the same files do.
  await measure(["cp", "-al", base, repository]);
}

interface Part {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

function readParts(layout: string): readonly Part[] {
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  return JSON.parse(readFileSync(blobPath(layout, manifests[0].digest), "utf8")).layers;
}

function layersOf(layout: string): string[] {
  return readParts(layout).map(({ digest }) => digest);
}

/** Sizes of tar-diffs, by the digest of the layer that they make. */
function deltaLayers(delta: string): ReadonlyMap<string | undefined, number> {
  const differences = readParts(delta).filter(({ mediaType }) => mediaType === TAR_DIFF);
  return new Map(
    differences.map(({ annotations, size }) => [annotations?.["io.github.containers.delta.to"], size]),
  );
}

function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", ...digest.split(":"));
}

/** Layouts that the caller has: the old image, and others that follow it. */
function givenPairs(): ImagePair[] | undefined {
  const [old, ...young] = process.argv.slice(2).map((path) => resolve(path));
  if (old === undefined) return undefined;
  return young.map((path) => ({ name: basename(path), old, young: path }));
}

if (import.meta.main) {
  const folder = process.env.BENCH_FOLDER ?? "/dev/shm/cfsctl-bench";
  const ours = process.env.CFSCTL ?? join(PROJECT, "dist/cfsctl");
  const reference = findReference();
  if (!existsSync(ours) || reference === undefined)
    throw new Error(
      "dist/cfsctl and the reference are needed: `npm run build`, test/interop/install-reference",
    );
  mkdirSync(folder, { recursive: true });
  printHead();
  await benchDelta({ ours, reference, folder, rounds: Number(process.env.BENCH_ROUNDS ?? 5) }, givenPairs());
  rmSync(folder, { recursive: true, force: true });
}
