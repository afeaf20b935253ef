/**
 * Builds the executable: `bun build.ts [--target linux-arm64] [--outfile FILE] [--runtime FILE]`.
 * Without a target it is for this machine. For another one, Bun fetches that runtime, unless --runtime names it.
 */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";

const TARGETS = [
  "linux-x64",
  "linux-x64-baseline",
  "linux-x64-musl",
  "linux-arm64",
  "linux-arm64-musl",
] as const;
type Target = (typeof TARGETS)[number];

const { values } = parseArgs({
  options: { target: { type: "string" }, outfile: { type: "string" }, runtime: { type: "string" } },
});
const { target, runtime } = values;
if (target !== undefined && !TARGETS.includes(target as Target)) {
  console.error(`unknown target '${target}': known are ${TARGETS.join(", ")}`);
  process.exit(2);
}
const outfile = values.outfile ?? (target === undefined ? "dist/cfsctl" : `dist/cfsctl-${target}`);
mkdirSync(dirname(outfile), { recursive: true });

const result = await Bun.build({
  // the worker threads' entry point has to be named: nothing imports it
  entrypoints: ["src/main.ts", "src/worker.ts"],
  root: "src",
  // names and places in the source stay known, for the stacks that --debug shows; start-up doesn't suffer
  minify: { whitespace: true, syntax: true, identifiers: false },
  sourcemap: "inline",
  // only the code that a command needs is loaded, and it is not parsed anew: 5 ms to --version instead of 18
  splitting: true,
  format: "esm",
  bytecode: true,
  compile: {
    outfile,
    ...(target !== undefined && { target: `bun-${target as Target}` as const }),
    ...(runtime !== undefined && { executablePath: runtime }),
    // files of whatever directory the program is started in must not change what it does
    autoloadBunfig: false,
    autoloadDotenv: false,
    autoloadTsconfig: false,
    autoloadPackageJson: false,
  },
});
for (const log of result.logs) console.error(log);
if (!result.success) process.exit(1);
// the maps are in the executable as well
for (const { kind, path } of result.outputs) if (kind === "sourcemap") rmSync(path);
