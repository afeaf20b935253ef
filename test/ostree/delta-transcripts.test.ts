import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { HashName } from "../../src/verity/digest.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { FIXTURES, fixtureJson, linksOf, unpackRepository } from "./support.ts";

interface Session {
  readonly steps: readonly {
    readonly argv: readonly string[];
    readonly rc: number;
    readonly stdout: string;
  }[];
  readonly links_after: Readonly<Record<string, string>>;
}

/** What composefs-rs takes for good, and stores. */
const FORGED = new Map([
  ["deltas/bad/11-commit-data-tampered", "the commit in it has the checksum"],
  ["deltas/bad/12-to-mismatch", "the commit in it has the checksum"],
  ["deltas/bad/20-version-99", "too new version 99"],
]);
/** composefs-rs links the stream of a commit of which objects are missing. */
const INCOMPLETE = "deltas/bad/22-no-ops";

let directory: TempDir;

beforeAll(() => {
  directory = tempDir();
  for (const name of ["archive", "roll"]) unpackRepository(name, directory.path);
  cpSync(join(FIXTURES, "deltas"), directory.join("deltas"), { recursive: true });
});
afterAll(() => directory[Symbol.dispose]());

describe.each(["sha256", "sha512"] as HashName[])(
  "static deltas as composefs-rs applies them, %s",
  (hash) => {
    const sessions = fixtureJson<Session[]>(`transcripts/deltas-${hash}.json`);
    test.each(sessions.map((session) => [session.steps.map(({ argv }) => argv.at(-1)).join(", "), session]))(
      "%s",
      (_, session) => {
        const { steps, links_after } = session as Session;
        rmSync(directory.join("cfs"), { recursive: true, force: true });
        const options = { cwd: directory.path };
        cfsctlOk(["--repo", "cfs", "init", "--insecure", "--algorithm", `fsverity-${hash}-12`], options);
        for (const { argv, rc, stdout } of steps) {
          const result = cfsctl(argv, options);
          const forged = FORGED.get(argv.at(-1)!);
          if (forged === undefined)
            expect({ argv, rc: result.code, stdout: result.stdout }).toEqual({ argv, rc, stdout });
          else {
            expect(result.code).toBe(1);
            expect(result.stderr).toContain(forged);
          }
        }
        const path = steps[0]!.argv.at(-1)!;
        const isRefused = FORGED.has(path) || path === INCOMPLETE;
        expect(linksOf(directory.join("cfs"))).toEqual(isRefused ? {} : { ...links_after });
      },
      20_000,
    );
  },
);
