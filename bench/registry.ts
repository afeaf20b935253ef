import { rmSync } from "node:fs";
import { join } from "node:path";
import { writeContainersHome } from "../test/support/containers-home.ts";
import { type DockerRegistry, startDockerRegistry } from "../test/support/docker-registry.ts";
import { measureTree, type TreeFigures } from "./process-tree.ts";

export interface RegistryBench {
  readonly ours: string;
  readonly reference: string;
  /** OCI layout with the image `bench`. */
  readonly layout: string;
  /** For repositories; on a file system that nothing else uses meanwhile. */
  readonly folder: string;
  readonly rounds: number;
}

const user = { username: "bench", password: "bench" };
const LOGIN = `${user.username}:${user.password}`;
const COLUMNS = [
  { what: "wall", unit: "s", digits: 3 },
  { what: "cpu", unit: "s", digits: 3 },
  { what: "memory", unit: "MB", digits: 0 },
  { what: "disk", unit: "MB", digits: 0 },
] as const;

/**
 * Pulls from docker-registry on this machine, ours and the reference with its skopeo in turn: without and with TLS and
 * a password. Prints wall time, CPU time and peak memory of all processes together, and temporary disk space.
 */
export async function benchRegistry(bench: RegistryBench): Promise<void> {
  const missing = ["docker-registry", "skopeo"].filter((tool) => Bun.which(tool) === null);
  if (missing.length > 0) return console.log(`pulls from a registry: skipped, needs ${missing.join(", ")}`);
  const head = COLUMNS.map(({ what, unit }) => `${what} ${unit}: ours reference  ratio`.padStart(34));
  console.log(`${"all processes together".padEnd(28)}${head.join("")}`);
  for (const tls of [false, true]) {
    using registry = await startDockerRegistry({ tls, ...(tls && { user }), below: bench.folder });
    await comparePulls(tls ? "oci pull, TLS and password" : "oci pull, plain HTTP", registry, tls, bench);
  }
}

async function comparePulls(
  name: string,
  registry: DockerRegistry,
  tls: boolean,
  { ours, reference, layout, folder, rounds }: RegistryBench,
): Promise<void> {
  const { host } = registry;
  const home = join(folder, "home");
  const env = writeContainersHome(home, {
    ...(tls
      ? { trusted: [host], logins: { [host]: LOGIN } }
      : { registries: `[[registry]]\nlocation = "${host}"\ninsecure = true\n` }),
  });
  const measure = (...command: string[]) => measureTree(command, { env, folder });
  await measure("skopeo", "copy", "-q", `oci:${layout}:bench`, `docker://${host}/bench:1`);
  const binaries = { ours, reference };
  const runs: Record<keyof typeof binaries, TreeFigures[]> = { ours: [], reference: [] };
  for (let round = 0; round <= rounds; round++) {
    for (const who of ["ours", "reference"] as const) {
      const repository = join(folder, `repository-${who}`);
      rmSync(repository, { recursive: true, force: true });
      await measure(binaries[who], "init", "--insecure", repository);
      const args = ["--repo", repository, "oci", "pull", `docker://${host}/bench:1`, "bench"];
      const figures = await measure(binaries[who], ...args);
      // the first round warms up the caches
      if (round > 0) runs[who].push(figures);
      rmSync(repository, { recursive: true });
    }
  }
  rmSync(home, { recursive: true });
  const cells = COLUMNS.map(({ what, digits }) => {
    const [mine, theirs] = [runs.ours, runs.reference].map((figures) => figures.map((f) => f[what]));
    const ratio = median(mine!.map((value, i) => value / theirs![i]!));
    const values = [mine!, theirs!].map((figures) => median(figures).toFixed(digits));
    return `${values[0]!.padStart(17)} ${values[1]!.padStart(9)} ${(Number.isFinite(ratio) ? ratio.toFixed(2) : "-").padStart(6)}`;
  });
  console.log(`${name.padEnd(28)}${cells.join("")}`);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
