import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fixtureJson, unpackRepository } from "../ostree/support.ts";
import { CFSCTL, type RunResult, run } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import type { WrittenImage } from "../support/oci-layout.ts";
import { findReference } from "../support/reference.ts";
import { writeSampleLayout } from "../support/sample-images.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

/**
 * Eight processes at a time, four of them composefs-rs, pull into one repository, tag, untag, collect and check.
 * Longer: SIDE_BY_SIDE_SECONDS=60.
 */
const SECONDS = Number(process.env.SIDE_BY_SIDE_SECONDS ?? 8);
const EACH = 4;
/** Longer than anything that only waits for the others takes. */
const STUCK_MS = 120_000;

const REFERENCE = findReference();
if (REFERENCE === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");

type Who = "cfsctl" | "reference";
const BINARY: Record<Who, string> = { cfsctl: CFSCTL, reference: REFERENCE ?? "" };
const BOTH: readonly Who[] = ["cfsctl", "reference"];

const OSTREE_REFS = ["test/main", "other/ref_1.0-x"];

interface Failure {
  readonly who: Who;
  readonly args: readonly string[];
  readonly result: RunResult;
}

let scratch: TempDir;
let images: Record<"many" | "odd", WrittenImage>;
let ostree: string;
let commits: readonly string[];

beforeAll(() => {
  scratch = tempDirInMemory(1e9);
  images = writeSampleLayout(scratch.join("layout"));
  ostree = unpackRepository("archive", scratch.join("ostree"));
  commits = Object.values(
    fixtureJson<{ commits: { archive: Record<string, string> } }>("expected.json").commits.archive,
  );
});
afterAll(() => scratch[Symbol.dispose]());

/**
 * Whether a check of composefs-rs complains of nothing but refs that somebody removed after it had listed them: it
 * takes them for broken, one run in twenty beside a process that does nothing but remove and write refs.
 */
function isVanishedRef({ stdout }: RunResult): boolean {
  const errors = stdout.split("\n").filter((line) => line.startsWith("  - fsck: "));
  return (
    errors.length > 0 &&
    errors.every((line) => /fsck: (broken-symlink: streams\/refs\/|ref-resolve-failed: )/.test(line))
  );
}

/** One of those who use the repository at the same time. It has names of its own, and shares some with the others. */
class User {
  readonly #who: Who;
  readonly #repository: string;
  readonly #name: string;
  readonly #choices: Choices;
  /** Own tags, with the manifests that they name. */
  readonly #tags = new Map<string, string>();
  readonly done: Record<string, number> = {};
  readonly failures: Failure[] = [];

  constructor(who: Who, number: number, repository: string) {
    this.#who = who;
    this.#repository = repository;
    this.#name = `${who}-${number}`;
    this.#choices = new Choices(number * 7919 + who.length);
  }

  async workUntil(deadline: number): Promise<void> {
    while (performance.now() < deadline) await this.#act();
  }

  async #act(): Promise<void> {
    const choices = this.#choices;
    const tags = [...this.#tags];
    switch (choices.of(["pull", "pull", "ostree", "tag", "untag", "gc", "fsck", "list"])) {
      case "pull": {
        const image = choices.of(["many", "odd"] as const);
        const isShared = choices.chance(0.3);
        const tag = isShared ? `shared-${choices.below(2)}` : `${this.#name}/${image}`;
        await this.#run("oci", "pull", `oci:${scratch.join("layout")}:${image}`, tag);
        if (!isShared) this.#tags.set(tag, images[image].manifest);
        return;
      }
      case "ostree": {
        await this.#run("ostree", "pull-local", ostree, choices.of([...commits, ...OSTREE_REFS]));
        return;
      }
      case "tag": {
        if (tags.length === 0) return;
        const [, manifest] = choices.of(tags);
        const tag = `${this.#name}/${choices.below(3)}`;
        await this.#run("oci", "tag", manifest, tag);
        this.#tags.set(tag, manifest);
        return;
      }
      case "untag": {
        if (tags.length === 0) return;
        const [tag] = choices.of(tags);
        this.#tags.delete(tag);
        await this.#run("oci", "untag", tag);
        return;
      }
      case "list":
        await this.#run("oci", "images");
        return;
      case "gc":
        await this.#run("gc");
        return;
      case "fsck": {
        const theirs = [["fsck"], ["fsck", "--metadata-only"], ["oci", "fsck"]];
        const ours = [...theirs, ["fsck", "--deep"], ["ostree", "fsck"]];
        await this.#run(...choices.of(this.#who === "cfsctl" ? ours : theirs));
        return;
      }
    }
  }

  async #run(...args: string[]): Promise<void> {
    const command = [BINARY[this.#who], "--repo", this.#repository, ...args];
    const result = await run(command, { cwd: scratch.path, timeoutMs: STUCK_MS });
    const what = args.slice(0, args[0] === "oci" || args[0] === "ostree" ? 2 : 1).join(" ");
    this.done[what] = (this.done[what] ?? 0) + 1;
    const isRace = this.#who === "reference" && args.includes("fsck") && isVanishedRef(result);
    if (result.code !== 0 && !isRace) this.failures.push({ who: this.#who, args, result });
  }
}

describe.skipIf(REFERENCE === undefined)("beside composefs-rs, in one repository", () => {
  test(
    `${2 * EACH} processes for ${SECONDS} s do their work, and leave a healthy repository`,
    async () => {
      const repository = scratch.join("r");
      const ok = async (who: Who, ...args: string[]) => {
        const result = await run([BINARY[who], "--repo", repository, ...args], { cwd: scratch.path });
        expect({ who, args, ...result }).toMatchObject({ code: 0 });
        return result.stdout;
      };
      await ok("reference", "init", "--insecure", "--algorithm", "fsverity-sha256-12");
      const users = Array.from(
        { length: 2 * EACH },
        (_, number) => new User(BOTH[number % 2]!, number, repository),
      );
      const deadline = performance.now() + SECONDS * 1000;
      await Promise.all(users.map((user) => user.workUntil(deadline)));

      const done: Record<string, number> = {};
      for (const user of users)
        for (const [what, count] of Object.entries(user.done)) done[what] = (done[what] ?? 0) + count;
      console.log(
        Object.entries(done)
          .map(([what, count]) => `${what}: ${count}`)
          .join(", "),
      );
      expect(users.flatMap(({ failures }) => failures)).toEqual([]);
      for (const collect of [false, true]) {
        if (collect) await ok("cfsctl", "gc");
        for (const who of BOTH) {
          expect(await ok(who, "fsck")).toContain("status: ok");
          expect(await ok(who, "oci", "fsck")).toContain("status: ok");
        }
        expect(await ok("cfsctl", "fsck", "--deep")).toContain("status: ok");
      }
    },
    SECONDS * 1000 + 2 * STUCK_MS,
  );
});
