import { existsSync, mkdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { findReference } from "../test/support/reference.ts";
import { makeImageApart } from "./image.ts";
import { benchRegistry } from "./registry.ts";

/**
 * Runs this project's binary and the reference in turn on the same input, and prints what each took and the ratio.
 * Everything lies on a tmpfs, so that the disk does not take part.
 */
const FOLDER = process.env.BENCH_FOLDER ?? "/dev/shm/cfsctl-bench";
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const OURS = join(import.meta.dir, "../dist/cfsctl");

interface Figures {
  readonly wall: number;
  readonly cpu: number;
  /** Peak resident set of the process in MB. */
  readonly memory: number;
}

type Measured = keyof Figures;

async function measure(command: readonly string[]): Promise<Figures> {
  const start = performance.now();
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const stderr = await new Response(child.stderr).text();
  const exitCode = await child.exited;
  const wall = (performance.now() - start) / 1000;
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit ${exitCode}: ${stderr}`);
  const usage = child.resourceUsage()!;
  return { wall, cpu: Number(usage.cpuTime.total) / 1e6, memory: usage.maxRSS / 1024 / 1024 };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

interface Case {
  readonly name: string;
  /** Made before each run, not measured. */
  readonly prepare?: (binary: string, repository: string) => Promise<void>;
  readonly command: (binary: string, repository: string) => string[];
}

async function compare({ name, prepare, command }: Case, reference: string): Promise<void> {
  const binaries = { ours: OURS, reference };
  const runs: Record<string, Figures[]> = { ours: [], reference: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [who, binary] of Object.entries(binaries)) {
      const repository = join(FOLDER, `repository-${who}`);
      await prepare?.(binary, repository);
      const figures = await measure(command(binary, repository));
      // The first round warms up the caches.
      if (round > 0) runs[who]!.push(figures);
    }
  }
  const of = (who: string, what: Measured) => runs[who]!.map((figures) => figures[what]);
  const cells = (["wall", "cpu", "memory"] as const).map((what) => {
    const [ours, theirs] = [median(of("ours", what)), median(of("reference", what))];
    const ratio = median(of("ours", what).map((value, i) => value / of("reference", what)[i]!));
    const digits = what === "memory" ? 0 : 3;
    return `${ours.toFixed(digits).padStart(8)} ${theirs.toFixed(digits).padStart(9)} ${ratio.toFixed(2).padStart(6)}`;
  });
  console.log(`${name.padEnd(28)}${cells.join("   ")}`);
}

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
  console.log(
    `${"".padEnd(28)}${"wall s: ours reference  ratio".padEnd(28)}${"cpu s: ours reference  ratio".padStart(29)}${"MB: ours reference  ratio".padStart(28)}`,
  );
  const pull = (layout: string) => (binary: string, repository: string) => [
    binary,
    "--repo",
    repository,
    "oci",
    "pull",
    `oci:${layout}:bench`,
    "bench",
  ];
  await compare(
    { name: "oci pull", prepare: freshRepository, command: pull(images.usual.layout) },
    reference,
  );
  await compare({ name: "oci pull, unchanged", command: pull(images.usual.layout) }, reference);
  await compare(
    { name: "fsck", command: (binary, repository) => [binary, "--repo", repository, "fsck"] },
    reference,
  );
  await compare(
    { name: "oci pull, twice the bytes", prepare: freshRepository, command: pull(images.moreBytes.layout) },
    reference,
  );
  await compare(
    { name: "oci pull, and the entries", prepare: freshRepository, command: pull(images.moreEntries.layout) },
    reference,
  );
  await benchRegistry({ ours: OURS, reference, layout: images.usual.layout, folder: FOLDER, rounds: ROUNDS });
  await compare({ name: "--version", command: (binary) => [binary, "--version"] }, reference);
  rmSync(FOLDER, { recursive: true, force: true });
}

await main();
