import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { serveFiles } from "../ostree/static-server.ts";
import { fixtureJson, unpackRepository } from "../ostree/support.ts";
import { CFSCTL, run } from "../support/cfsctl.ts";
import { findReference } from "../support/reference.ts";
import { repositoryContent } from "../support/repository-content.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

/** Commits of ostree that this program and composefs-rs pull in turn, into the same repository. */

const REFERENCE = findReference();
if (REFERENCE === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");

type Who = "ours" | "theirs";
const BINARY: Record<Who, string> = { ours: CFSCTL, theirs: REFERENCE ?? "" };

const CASES = [
  ["pull-local", "sha256"],
  ["pull-local", "sha512"],
  ["pull", "sha256"],
  ["pull --no-delta", "sha512"],
] as const;
/** Who does the n-th step, of which every other one names what was pulled. */
const PLANS: Readonly<Record<string, (step: number) => Who>> = {
  theirs: () => "theirs",
  inTurn: (step) => (Math.floor(step / 2) % 2 === 0 ? "ours" : "theirs"),
  inOtherTurn: (step) => (Math.floor(step / 2) % 2 === 0 ? "theirs" : "ours"),
};
const { commits } = fixtureJson<{
  commits: { archive: Readonly<Record<"c1" | "c2", string>> };
}>("expected.json");
const { c1, c2 } = commits.archive;

let scratch: TempDir;
let archive: string;

beforeAll(() => {
  scratch = tempDirInMemory(200e6);
  archive = unpackRepository("archive", scratch.path);
});
afterAll(() => scratch[Symbol.dispose]());

async function ok(who: Who, repository: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run([BINARY[who], "--repo", repository, ...args]);
  if (code !== 0) throw new Error(`${who} ${args.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}

async function expectSound(repository: string): Promise<void> {
  const [ours, theirs] = [await ok("ours", repository, "fsck"), await ok("theirs", repository, "fsck")];
  expect(ours).toBe(theirs);
  expect(ours).toContain("status: ok");
  expect(await ok("ours", repository, "ostree", "fsck")).toContain("status: ok");
}

/** What is said of a commit; the rest depends on what the repository had. */
const shown = (stdout: string) => stdout.split("\n").filter((line) => /^(commit|image|tagged) /.test(line));

/** Each update is brought in by the next one of the two. @returns what they said. */
async function work(repository: string, who: (step: number) => Who, pull: string[]): Promise<string[][]> {
  const said: string[][] = [];
  let step = 0;
  const next = async (...args: string[]) => {
    said.push(shown(await ok(who(step++), repository, "ostree", ...args)));
    await expectSound(repository);
  };
  for (const commit of [c1, c2]) {
    await next(...pull, commit);
    await next("tag", commit, "moving");
  }
  // composefs-rs writes no ref to a commit that is there already
  await next(...pull, "test/main");
  await next("tag", "test/main", "moving");
  await next(...pull, "other/ref_1.0-x");
  await next("untag", "moving");
  for (const collecting of ["theirs", "ours"] as const) await ok(collecting, repository, "gc");
  await expectSound(repository);
  for (const ref of ["test/main", "other/ref_1.0-x"]) {
    for (const command of ["compute-id", "dump", "inspect"]) {
      const [ours, theirs] = await Promise.all(
        (["ours", "theirs"] as const).map((by) => ok(by, repository, "ostree", command, ref)),
      );
      expect(ours).toBe(theirs!);
      said.push([ours!]);
    }
  }
  return said;
}

describe.skipIf(REFERENCE === undefined)("a repository of commits", () => {
  test.each(CASES)(
    "is the same after the same updates by composefs-rs and by both in turn: %s, %s",
    async (how, hash) => {
      using server = await serveFiles(archive);
      const [command, ...flags] = how.split(" ");
      const pull = [command!, ...flags, command === "pull-local" ? archive : server.url];
      const results = [];
      for (const [name, who] of Object.entries(PLANS)) {
        const repository = scratch.join(`${how.replaceAll(" ", "")}-${name}-${hash}`);
        await ok("theirs", repository, "init", "--insecure", "--algorithm", `fsverity-${hash}-12`);
        const said = await work(repository, who, pull);
        const { objects, links } = repositoryContent(repository, hash);
        // summaries are kept through collections by us alone
        const isSummary = (line: string) => line.includes("ostree-summary");
        const summaries = links
          .filter((line) => line.startsWith("streams/ostree-summary-"))
          .map((line) => line.replace(/.* -> (\.\.\/)*objects\//, ""));
        results.push({
          said,
          links: links.filter((line) => !isSummary(line)),
          objects: objects.filter((line) => !summaries.includes(line.split(" ")[0]!)),
        });
      }
      expect(results[0]!.objects.length).toBeGreaterThan(15);
      for (const result of results.slice(1)) expect(result).toEqual(results[0]!);
    },
    60_000,
  );
});
