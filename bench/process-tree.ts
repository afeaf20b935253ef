import { readdirSync, readFileSync, statfsSync } from "node:fs";

const SAMPLE_MS = 10;

/** What a command took together with everything that it started. */
export interface TreeFigures {
  /** Seconds. */
  readonly wall: number;
  /** Seconds, of all processes. */
  readonly cpu: number;
  /** Most memory in MB that all processes had at once; what they share is counted once. */
  readonly memory: number;
  /** Most MB on the file system during the run that were no longer there after it. */
  readonly disk: number;
}

export interface TreeOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** On the file system that is watched; nothing else must use it meanwhile. */
  readonly folder: string;
}

/** Runs a command and looks at its processes every few milliseconds. */
export async function measureTree(
  command: readonly string[],
  { env, folder }: TreeOptions,
): Promise<TreeFigures> {
  const used = () => {
    const { blocks, bfree, bsize } = statfsSync(folder);
    return (blocks - bfree) * bsize;
  };
  const start = performance.now();
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  let [memory, disk] = [0, 0];
  const timer = setInterval(() => {
    memory = Math.max(memory, treeMemory(child.pid));
    disk = Math.max(disk, used());
  }, SAMPLE_MS);
  const stderr = await new Response(child.stderr).text();
  const exitCode = await child.exited;
  const wall = (performance.now() - start) / 1000;
  clearInterval(timer);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit ${exitCode}: ${stderr}`);
  return {
    wall,
    cpu: Number(child.resourceUsage()!.cpuTime.total) / 1e6,
    memory: memory / 1e6,
    disk: Math.max(0, disk - used()) / 1e6,
  };
}

/** Proportional set sizes of a process and its descendants, in bytes. */
function treeMemory(root: number): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    // PID (NAME) STATE PARENT …, and the name may hold anything
    const stat = readProc(`/proc/${name}/stat`);
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
  }
  const isBelow = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 0; at = parents.get(at))
      if (at === root) return true;
    return false;
  };
  return [...parents.keys()]
    .filter(isBelow)
    .reduce((sum, pid) => sum + proportionalSetSize(readProc(`/proc/${pid}/smaps_rollup`)), 0);
}

function proportionalSetSize(rollup: string): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
}

/** Empty when the process has ended meanwhile. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
