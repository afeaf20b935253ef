import { afterAll, beforeAll, expect, test } from "bun:test";
import { ArchiveMaker } from "../ostree/archive-maker.ts";
import { type StaticServer, serveFiles } from "../ostree/static-server.ts";
import { CFSCTL, cfsctlOk } from "../support/cfsctl.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

/** What commands take of memory for a commit with very many files. */

const FILES = 30_000;
/** A process that does nothing takes 40 MB, and 100,000 files take 250. */
const LIMIT = 200e6;

let scratch: TempDir;
let server: StaticServer;

beforeAll(async () => {
  scratch = tempDirInMemory(600e6);
  const files = Array.from({ length: FILES }, (_, i) => [
    `file-with-a-name-${i}`,
    Buffer.from(`content of the file ${i}\n`.repeat(8)),
  ]);
  const maker = new ArchiveMaker(scratch.join("archive"));
  maker.commit("many", Object.fromEntries(files));
  maker.write("tmp/.keep", Buffer.alloc(0));
  server = await serveFiles(maker.path);
}, 60_000);
afterAll(() => {
  server[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

const inRepository = (name: string, ...args: string[]) => [
  "--repo",
  scratch.join(name),
  "--jobs",
  "2",
  "--progress",
  "none",
  ...args,
];

/**
 * Runs a program and prints how much memory it took at most, in a process of its own: the system counts what the
 * process had that started the program, and one that runs tests has much.
 */
const MEASURE = `
  const [, ...command] = process.argv;
  const run = Bun.spawnSync(command, { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  console.log(run.resourceUsage.maxRSS);
  process.exit(run.exitCode);
`;

/** Most memory that a command took, in bytes. */
async function peakOf(args: readonly string[]): Promise<number> {
  const command = [process.execPath, "-e", MEASURE, CFSCTL, ...args];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  return Number(stdout);
}

test("commands for a commit with 30,000 files stay below 200 MB", async () => {
  for (const name of ["local", "remote"]) cfsctlOk(["--repo", scratch.join(name), "init", "--insecure"]);
  const commands = {
    "pull-local": inRepository("local", "ostree", "pull-local", scratch.join("archive"), "many"),
    pull: inRepository("remote", "ostree", "pull", "--no-delta", server.url, "many"),
    "ostree fsck": inRepository("local", "ostree", "fsck"),
    fsck: inRepository("local", "fsck"),
    "export, archive": inRepository(
      "local",
      "ostree",
      "export",
      "many",
      scratch.join("a"),
      "--mode",
      "archive",
    ),
    "export, bare-user": inRepository(
      "local",
      "ostree",
      "export",
      "many",
      scratch.join("b"),
      "--mode",
      "bare-user",
    ),
  };
  const peaks: Record<string, number> = {};
  for (const [what, args] of Object.entries(commands)) peaks[what] = await peakOf(args);
  const large = Object.entries(peaks).filter(([, peak]) => peak > LIMIT);
  console.log(
    `MB: ${JSON.stringify(Object.entries(peaks).map(([what, peak]) => [what, Math.round(peak / 1e6)]))}`,
  );
  expect(large).toEqual([]);
}, 60_000);
