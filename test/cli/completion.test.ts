import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ROOT } from "../../src/cli/commands.ts";
import { findCandidates } from "../../src/cli/completion/candidates.ts";
import type { CommandSpec, Completion } from "../../src/cli/tree.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { PROJECT } from "../support/project.ts";
import { tempDir } from "../support/temp.ts";

interface ReferenceCase {
  readonly shell: string;
  readonly index: string | null;
  readonly separator: string | null;
  readonly words: readonly string[];
  readonly values: readonly string[];
  readonly endsWithNewline: boolean;
}

/** What composefs-rs offers, without the help texts. */
const { cases, repository } = JSON.parse(
  readFileSync(join(PROJECT, "fixtures/cli/reference-completion.json"), "utf8"),
) as { cases: readonly ReferenceCase[]; repository: string };

/** What it offers and we don't. Who adds a command removes it here. */
const LACKING: ReadonlySet<string> = new Set([
  "compute-karg",
  "varlink",
  "prepare-boot",
  // With '/' a ref is only found by refs/NAME.
  "nested/dir/rootfs2",
  // Letters are shorter to type than to choose.
  "-h",
]);

const values = (line: readonly string[], find: (kind: Completion) => string[] = () => []) =>
  findCandidates(ROOT, line, (kind) => find(kind).map((value) => ({ value }))).map(({ value }) => value);

describe("as composefs-rs", () => {
  test("scripts of both get the candidates in the form that they expect", () => {
    using dir = tempDir();
    const archive = join(PROJECT, "fixtures/repository/repos", `${repository}.tar.gz`);
    expect(spawnSync("tar", ["-xzf", archive, "-C", dir.path]).status).toBe(0);
    for (const { shell, index, separator, words, values, endsWithNewline } of cases) {
      const env = {
        COMPLETE: shell,
        _CLAP_COMPLETE_INDEX: index ?? undefined,
        _CLAP_IFS: separator ?? undefined,
      };
      const { code, stdout, stderr } = cfsctl(["--", ...words], { cwd: dir.path, env });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect({ shell, words, end: stdout.endsWith("\n") }).toEqual({ shell, words, end: endsWithNewline });
      const own = stdout.split("\n").map((line) => wordOf(shell, line));
      const wanted = values.filter((value) => !LACKING.has(value));
      expect({ shell, words, missing: wanted.filter((value) => !own.includes(value)) }).toEqual({
        shell,
        words,
        missing: [],
      });
    }
  }, 30_000);

  test("the variable asks for the script, too", () => {
    for (const shell of ["bash", "zsh", "fish"])
      expect(cfsctlOk([], { env: { COMPLETE: shell } })).toBe(cfsctlOk(["completion", shell]));
    expect(cfsctl([], { env: { COMPLETE: "tcsh" } })).toEqual({
      code: 2,
      stdout: "",
      stderr: "error: unknown shell `tcsh`, expected one of `bash`, `elvish`, `fish`, `powershell`, `zsh`\n",
    });
    for (const off of ["", "0"]) expect(cfsctl(["--version"], { env: { COMPLETE: off } }).code).toBe(0);
    expect(cfsctl(["completion", "tcsh"]).code).toBe(2);
  });
});

function wordOf(shell: string, line: string): string {
  if (shell === "zsh") return line.split(/(?<!\\):/)[0]!;
  return shell === "fish" || shell === "powershell" ? line.split("\t")[0]! : line;
}

describe("candidates", () => {
  test.each<[string[], string[]]>([
    [["gc", "--dry"], ["--dry-run"]],
    [["gc", "--dry-run", "--d"], ["--debug"]],
    [["gc", "-n", "--dr"], []],
    [["gc", "-r", "x", "--ro"], ["--root"]],
    [["oci", "pull", "--", "--"], []],
    [["oci", "nonsense", ""], []],
    [["--erofs-version="], ["--erofs-version=0", "--erofs-version=1", "--erofs-version=2"]],
    [["oci", "push", "a", "b", "--compression", "z"], ["zstd"]],
    [["help", "os"], ["ostree"]],
    [["help", "oci", "pul"], ["pull"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish", "--help"],
    ],
    [["list-im"], []],
  ])("%p", (line, expected) => expect(values(line)).toEqual(expected));

  test("of names, those that are asked for", () => {
    const asked: [string[], Completion | undefined][] = [
      [["cat", "x"], "stream"],
      [["gc", "-r", "x"], "root"],
      [["gc", "-rx"], undefined],
      [["gc", "--root=x"], "root"],
      [["gc", "--why", "x"], "object"],
      [["oci", "untag", "x"], "tag"],
      [["oci", "untag", "x", "x"], undefined],
      [["oci", "layer", "x"], "layer"],
      [["oci", "push", "x", "x"], "destination"],
      [["oci", "mount", "x", "x"], "directory"],
      [["--repo", "x"], "directory"],
      [["ostree", "dump", "x"], "commit"],
      [["diff", "--ignore", "a", "x", "x"], "comparable"],
      [["dump-files", "x", "x"], undefined],
      [["report", "--html", "x"], "path"],
    ];
    for (const [line, kind] of asked) {
      const kinds: Completion[] = [];
      values(line, (k) => {
        kinds.push(k);
        return [];
      });
      expect([line, ...kinds]).toEqual([line, ...(kind === undefined ? [] : [kind])]);
    }
  });

  test("whatever was typed, something is answered that begins like the last word", () => {
    const word = fc.oneof(
      fc.constantFrom(...wordsOf(ROOT), "--", "-", "", "help", "--repo", "--repo=", "-r", "-n"),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), (line) => {
        for (const value of values(line, (kind) => [kind, `${line.at(-1)}x`]))
          expect(value.startsWith(line.at(-1)!)).toBe(true);
      }),
    );
  });

  test("every argument that names something in the repository says so", () => {
    const named = /^(IMAGE|NAME|SOURCE|MANIFEST_DIGEST|LAYER|IMAGE_ID|IMAGE_NAME|EXPECTED|FOUND|DEST|PATH)$/;
    const silent: string[] = [];
    for (const [path, command] of commandsIn(ROOT, "")) {
      for (const { name, completes } of command.positionals ?? [])
        if (named.test(name) && completes === undefined) silent.push(`${path} ${name}`.trim());
    }
    // New names, of which there is nothing to choose.
    expect(silent.sort()).toEqual([
      "create-image IMAGE_NAME",
      "fetch NAME",
      "oci import-layer NAME",
      "oci pull NAME",
      "oci tag NAME",
      "ostree tag NAME",
    ]);
  });
});

function* commandsIn(command: CommandSpec, path: string): Generator<readonly [string, CommandSpec]> {
  yield [path, command];
  for (const sub of command.subcommands ?? []) yield* commandsIn(sub, `${path} ${sub.name}`.trim());
}

function wordsOf(root: CommandSpec): string[] {
  return [...commandsIn(root, "")].flatMap(([, { name, options = [] }]) => [
    name,
    ...options.map((option) => `--${option.name}`),
  ]);
}

test("a repository that is in use by gc, damaged or missing offers nothing, at once", () => {
  using dir = tempDir();
  const env = { COMPLETE: "bash" };
  const line = ["--", "cfsctl", "--repo", dir.join("repo"), "oci", "untag", "x"];
  expect(cfsctl(line, { env })).toEqual({ code: 0, stdout: "", stderr: "" });
  cfsctlOk(["--repo", dir.join("repo"), "init", "--insecure"]);
  const locked = spawnSync(
    "flock",
    ["-x", dir.join("repo"), "timeout", "5", process.env.CFSCTL ?? join(PROJECT, "dist/cfsctl"), ...line],
    { env: { ...process.env, ...env } },
  );
  expect([locked.status, locked.stdout.toString()]).toEqual([0, ""]);
});
