import { join } from "node:path";

interface Figures {
  readonly wall: number;
  readonly cpu: number;
  /** Peak resident set of the process in MB. */
  readonly memory: number;
}

type Measured = keyof Figures;

/** What is run by both programs in turn. */
export interface Case {
  readonly name: string;
  /** Made before each run, not measured. */
  readonly prepare?: (binary: string, repository: string) => Promise<void>;
  readonly command: (binary: string, repository: string) => string[];
}

export interface Contest {
  readonly ours: string;
  readonly reference: string;
  /** Where each has its repository. */
  readonly folder: string;
  readonly rounds: number;
}

/** Runs a program and says what it took. */
export async function measure(command: readonly string[]): Promise<Figures> {
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

/** The line above those of `compare`. */
export function printHead(): void {
  console.log(
    `${"".padEnd(28)}${"wall s: ours reference  ratio".padEnd(28)}${"cpu s: ours reference  ratio".padStart(29)}${"MB: ours reference  ratio".padStart(28)}`,
  );
}

/** Runs both programs in turn and prints the medians of what they took, with the ratio pair by pair. */
export async function compare({ name, prepare, command }: Case, contest: Contest): Promise<void> {
  const { ours, reference, folder, rounds } = contest;
  const runs: Record<string, Figures[]> = { ours: [], reference: [] };
  for (let round = 0; round <= rounds; round++) {
    for (const [who, binary] of Object.entries({ ours, reference })) {
      const repository = join(folder, `repository-${who}`);
      await prepare?.(binary, repository);
      const figures = await measure(command(binary, repository));
      // The first round warms up the caches.
      if (round > 0) runs[who]!.push(figures);
    }
  }
  const of = (who: string, what: Measured) => runs[who]!.map((figures) => figures[what]);
  const cells = (["wall", "cpu", "memory"] as const).map((what) => {
    const [mine, theirs] = [median(of("ours", what)), median(of("reference", what))];
    const ratio = median(of("ours", what).map((value, i) => value / of("reference", what)[i]!));
    const digits = what === "memory" ? 0 : 3;
    return `${mine.toFixed(digits).padStart(8)} ${theirs.toFixed(digits).padStart(9)} ${ratio.toFixed(2).padStart(6)}`;
  });
  console.log(`${name.padEnd(28)}${cells.join("   ")}`);
}
