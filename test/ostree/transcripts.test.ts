import { describe, expect, test } from "bun:test";
import type { HashName } from "../../src/verity/digest.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { tempDir } from "../support/temp.ts";
import { fixtureJson, linksOf, unpackRepository } from "./support.ts";

interface Step {
  readonly argv: readonly string[];
  readonly rc: number;
  readonly stdout: string;
  /** Recorded after commands that change something. */
  readonly links_after?: Readonly<Record<string, string>>;
}

/** Commands that this test is about. */
const COMMANDS = new Set(["pull-local", "images", "inspect", "dump", "compute-id", "mount", "tag", "untag"]);

/** Where composefs-rs fails and we don't, or the other way round. */
const DIFFERENT: Readonly<Record<string, string>> = {
  "inspect CB7E": "digits of an id may be in upper case",
  "dump ac6b64e930234cfffcdc257e9d9656283047b324bea9ef629a0cf09d7920fe0d": "ids are as good as names",
};
/** A name is written also when its commit is there already: composefs-rs only says that it did. */
const FORGOTTEN = "streams/refs/ostree/test%2Fmain";

/** Names, without the lines that the table is drawn with. */
const rowsOf = (table: string) =>
  table
    .split("\n")
    .filter((line) => line.includes("┆"))
    .map((line) => line.replace(/ +/g, " "))
    .filter((line) => !line.includes("test/main ┆") || line.includes("heads/"))
    .sort();

describe.each(["sha256", "sha512"] as HashName[])("a session of composefs-rs, %s", (hash) => {
  const steps = fixtureJson<Step[]>(`transcripts/local-${hash}.json`);
  // From the first collection on, it matters that composefs-rs stores a stream that nothing refers to.
  const end = steps.findIndex(({ argv }) => argv.includes("gc"));

  test("is the same here", () => {
    using directory = tempDir();
    for (const name of ["archive", "edges"]) unpackRepository(name, directory.path);
    const options = { cwd: directory.path };
    cfsctlOk(["--repo", "cfs", "init", "--insecure", "--algorithm", `fsverity-${hash}-12`], options);
    for (const { argv, rc, stdout, links_after } of steps.slice(0, end)) {
      if (!COMMANDS.has(argv[3]!)) continue;
      const command = argv.slice(3).join(" ");
      const result = cfsctl(argv, options);
      if (DIFFERENT[command] !== undefined) {
        expect({ command, rc: result.code }).toEqual({ command, rc: 1 - rc });
        continue;
      }
      const isTable = stdout.startsWith("┌");
      const shown = isTable ? rowsOf(result.stdout) : result.stdout;
      expect({ command, rc: result.code, stdout: shown }).toEqual({
        command,
        rc,
        stdout: isTable ? rowsOf(stdout) : stdout,
      });
      if (links_after === undefined) continue;
      const found = linksOf(directory.join("cfs"));
      delete found[FORGOTTEN];
      expect({ command, links: found }).toEqual({ command, links: { ...links_after } });
    }
  }, 60_000);
});
