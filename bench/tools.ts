import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findComposefs } from "../test/support/composefs.ts";
import { PROJECT } from "../test/support/project.ts";
import { findReference } from "../test/support/reference.ts";
import { type Contest, compare, measure, printHead } from "./compare.ts";

/** So many files, none of which is very large. */
const FILES = 54_000;
const LARGEST = "200k";
const MILLION = { directories: 1000, filesEach: 999 };

/**
 * Makes images of a directory with 54,000 files of this machine's /usr, checks and collects the repository, makes an image
 * of a dumpfile of 32,000 lines beside mkcomposefs of composefs 1.0, and computes the id of a directory with a million
 * entries, where the memory is what matters.
 */
export async function benchTools(contest: Contest): Promise<void> {
  const { folder } = contest;
  const tree = join(folder, "tree");
  makeTree(tree);
  const at = (repository: string, ...words: string[]) => ["--repo", repository, ...words];
  await compare(
    {
      name: "create-image",
      prepare: async (binary, repository) => {
        rmSync(repository, { recursive: true, force: true });
        await measure([binary, "init", "--insecure", repository]);
      },
      command: (binary, repository) => [binary, ...at(repository, "create-image", tree, "bench")],
    },
    contest,
  );
  await compare(
    { name: "fsck", command: (binary, repository) => [binary, ...at(repository, "fsck")] },
    contest,
  );
  await compare({ name: "gc", command: (binary, repository) => [binary, ...at(repository, "gc")] }, contest);
  await compare(
    { name: "compute-id", command: (binary) => [binary, "--no-repo", "compute-id", tree] },
    contest,
  );
  rmSync(tree, { recursive: true });
  await benchMkcomposefs(contest);
  const million = join(folder, "million");
  makeMillion(million);
  await compare(
    { name: "compute-id, 1,000,000", command: (binary) => [binary, "--no-repo", "compute-id", million] },
    { ...contest, rounds: 1 },
  );
  rmSync(million, { recursive: true });
}

/** The name under which our program is called says what it is. */
async function benchMkcomposefs(contest: Contest): Promise<void> {
  const composefs = findComposefs();
  if (composefs === undefined)
    return console.log("mkcomposefs: skipped, needs composefs 1.0: run test/interop/install-composefs");
  const { folder } = contest;
  const ours = join(folder, "mkcomposefs");
  rmSync(ours, { force: true });
  symlinkSync(contest.ours, ours);
  const dumpfile = join(folder, "dumpfile");
  const packed = Bun.file(join(PROJECT, "fixtures/erofs/large.dump.zst"));
  writeFileSync(dumpfile, Bun.zstdDecompressSync(new Uint8Array(await packed.arrayBuffer())));
  await compare(
    {
      name: "mkcomposefs, 32,000 lines",
      command: (binary, image) => [binary, "--from-file", dumpfile, `${image}.erofs`],
    },
    { ...contest, ours, reference: join(composefs, "mkcomposefs") },
  );
}

function makeTree(tree: string): void {
  mkdirSync(tree, { recursive: true });
  const script = `cd / && find usr -xdev -type f -size -${LARGEST} | head -n ${FILES} | tar -cf - -T - | tar -xpf - -C "$1"`;
  const made = Bun.spawnSync(["sh", "-c", script, "sh", tree]);
  if (!made.success) throw new Error(`the tree could not be made: ${made.stderr}`);
}

/** Of empty files. */
function makeMillion(folder: string): void {
  const script = `mkdir -p "$1/usr" && cd "$1/usr" && for i in $(seq -w ${MILLION.directories}); do
    mkdir "dir-$i" && (cd "dir-$i" && seq -f 'file-%04.0f.txt' ${MILLION.filesEach} | xargs touch) || exit 1
  done`;
  const made = Bun.spawnSync(["sh", "-c", script, "sh", folder]);
  if (!made.success) throw new Error(`the directory could not be made: ${made.stderr}`);
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
  await benchTools({ ours, reference, folder, rounds: Number(process.env.BENCH_ROUNDS ?? 5) });
  rmSync(folder, { recursive: true, force: true });
}
