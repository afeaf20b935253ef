/**
 * Shows damaged input to the parsers of everything that comes from elsewhere:
 * `npx bun scripts/fuzz.ts [--seconds N] [--only TARGET] [--seed N] [--keep DIR]`, or `--input FILE --only TARGET` to
 * repeat one. Each parser must give a value or a CfsError, soon and with little memory. Input with which one does not is
 * kept in a file; its path and seed are printed, and the exit code is 1.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inputOf } from "../test/fuzz/mutate.ts";
import { faultOf, type Target } from "../test/fuzz/target.ts";
import { TARGETS } from "../test/fuzz/targets.ts";

/** Of a process that shows one target its inputs, the runtime included. */
const MEMORY_LIMIT = 640 * 1024 * 1024;
/** No input may take so long; one that ends is a fault after less. */
const HANG_MS = 20_000;
const SAMPLE_MS = 50;
const CHILD = join(import.meta.dir, "../test/fuzz/child.ts");

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    only: { type: "string" },
    seed: { type: "string" },
    keep: { type: "string", default: "fuzz-failures" },
    input: { type: "string" },
  },
});

const targets = TARGETS.filter(({ name }) => values.only === undefined || name === values.only);
if (targets.length === 0)
  throw new Error(`there is no target '${values.only}': ${TARGETS.map((t) => t.name).join(", ")}`);

interface Outcome {
  /** Number of the first input that was not tried. */
  readonly next: number;
  readonly fault?: string;
}

/** Runs a target in a process of its own, which is ended when it hangs or takes too much memory. */
async function runTarget(
  target: Target,
  seed: number,
  first: number,
  seconds: number,
  folder: string,
): Promise<Outcome> {
  const progressFile = join(folder, "progress");
  writeFileSync(progressFile, new Uint8Array(4096));
  const child = Bun.spawn(
    [process.execPath, CHILD, target.name, String(seed), String(first), String(seconds), progressFile],
    {
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  const indexNow = () => readFileSync(progressFile).readUInt32LE(0);
  let ended: string | undefined;
  let [index, since] = [-1, performance.now()];
  const timer = setInterval(() => {
    const now = indexNow();
    if (now !== index) [index, since] = [now, performance.now()];
    if (performance.now() - since > HANG_MS) ended = `took more than ${HANG_MS / 1000} s`;
    const memory = residentBytes(child.pid);
    if (memory > MEMORY_LIMIT) ended = `took ${(memory / 1e6).toFixed(0)} MB of memory`;
    if (ended !== undefined) child.kill("SIGKILL");
  }, SAMPLE_MS);
  const text = await new Response(child.stdout).text();
  const code = await child.exited;
  clearInterval(timer);
  if (ended !== undefined) return { next: indexNow() + 1, fault: ended };
  if (code === 0) return JSON.parse(text) as Outcome;
  return { next: indexNow() + 1, fault: `the process ended with ${child.signalCode ?? `exit code ${code}`}` };
}

function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * 4096;
  } catch {
    return 0;
  }
}

async function fuzz(): Promise<number> {
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const seconds = Number(values.seconds) / targets.length;
  const folder = mkdtempSync(join(tmpdir(), "cfsctl-fuzz-"));
  let [passed, failed] = [0, 0];
  try {
    console.log(`seed ${seed}, ${seconds.toFixed(0)} s for each of ${targets.length} parsers`);
    for (const target of targets) {
      const { next, fault } = await runTarget(target, seed, 0, seconds, folder);
      console.log(`${target.name}: ${next} inputs`);
      if (fault === undefined) {
        passed++;
        continue;
      }
      failed++;
      const { seeds, isText = false, finish } = target;
      mkdirSync(values.keep, { recursive: true });
      const path = join(values.keep, `${target.name}-${seed}-${next - 1}`);
      writeFileSync(path, inputOf({ seeds: seeds(), isText, finish }, seed, next - 1));
      console.log(`FAILED: ${target.name}, seed ${seed}, input ${next - 1}: ${fault}`);
      console.log(`  again: npx bun scripts/fuzz.ts --only ${target.name} --input ${path}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${passed} parsers passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

async function repeat(file: string): Promise<number> {
  const fault = await faultOf(targets[0]!, new Uint8Array(readFileSync(file)));
  console.log(fault ?? "no fault");
  return fault === undefined ? 0 : 1;
}

process.exit(values.input === undefined ? await fuzz() : await repeat(values.input));
