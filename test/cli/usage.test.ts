import { describe, expect, test } from "bun:test";
import { cfsctl } from "../support/cfsctl.ts";

interface Case {
  readonly name: string;
  readonly args: readonly string[];
  readonly error: string;
  readonly hint?: string;
  readonly usage?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const ROOT_USAGE = "cfsctl <COMMAND>";
const GC_USAGE = "cfsctl gc [OPTIONS]";

const cases: readonly Case[] = [
  { name: "unknown command", args: ["nope"], error: "there is no command 'nope'" },
  { name: "command in capitals", args: ["GC"], error: "there is no command 'GC'" },
  {
    name: "misspelled command",
    args: ["fskc"],
    error: "there is no command 'fskc'",
    hint: "a similar command exists: 'fsck'",
  },
  { name: "unknown option", args: ["gc", "--zzz"], error: "unknown option '--zzz'", usage: GC_USAGE },
  { name: "unknown letter", args: ["gc", "-z"], error: "unknown option '-z'", usage: GC_USAGE },
  {
    name: "unknown letter among known ones",
    args: ["gc", "-nz"],
    error: "unknown option '-z'",
    usage: GC_USAGE,
  },
  {
    name: "long option with one dash",
    args: ["gc", "-json"],
    error: "unknown option '-j'",
    usage: GC_USAGE,
  },
  {
    name: "letter as a long option",
    args: ["gc", "--n"],
    error: "unknown option '--n'",
    usage: GC_USAGE,
  },
  {
    name: "beginning of an option",
    args: ["gc", "--dry"],
    error: "unknown option '--dry'",
    hint: "a similar option exists: '--dry-run'",
    usage: GC_USAGE,
  },
  {
    name: "hidden option isn't suggested",
    args: ["gc", "--insecur"],
    error: "unknown option '--insecur'",
    usage: GC_USAGE,
  },
  {
    name: "a repository that has and lacks fs-verity",
    args: ["--require-verity", "init", "--insecure", "/nonexistent/r"],
    error: "'--require-verity' and '--insecure' can't be used together",
    usage: "cfsctl init [OPTIONS] [PATH]",
  },
  {
    name: "negated option",
    args: ["gc", "--no-dry-run"],
    error: "unknown option '--no-dry-run'",
    hint: "a similar option exists: '--dry-run'",
    usage: GC_USAGE,
  },
  {
    name: "option of another command before the command",
    args: ["--dry-run", "gc"],
    error: "unknown option '--dry-run'",
  },
  { name: "surplus argument", args: ["gc", "x"], error: "unexpected argument 'x'", usage: GC_USAGE },
  {
    name: "missing argument",
    args: ["cat"],
    error: "missing argument: <NAME>",
    usage: "cfsctl cat [OPTIONS] <NAME>",
  },
  { name: "missing value", args: ["gc", "--root"], error: "'--root <ROOT>' needs a value", usage: GC_USAGE },
  {
    name: "option in place of a value",
    args: ["gc", "--root", "--dry-run"],
    error: "'--root <ROOT>' needs a value",
    usage: GC_USAGE,
  },
  {
    name: "value for a switch",
    args: ["gc", "--dry-run=yes"],
    error: "'--dry-run' takes no value",
    usage: GC_USAGE,
  },
  {
    name: "twice",
    args: ["gc", "-n", "--dry-run"],
    error: "'--dry-run' was given more than once",
    usage: GC_USAGE,
  },
  {
    name: "global option twice, before and after",
    args: ["--repo", "a", "gc", "--repo", "b"],
    error: "'--repo <REPO>' was given more than once",
    usage: GC_USAGE,
  },
  {
    name: "one of several values",
    args: ["--hash", "md5", "gc"],
    error: "'--hash <HASH>' can't be 'md5'",
    hint: "possible values: sha256, sha512",
  },
  {
    name: "erofs version",
    args: ["init", "--erofs-version", "3"],
    error: "'--erofs-version <EROFS_VERSION>' can't be '3'",
    hint: "possible values: 0, 1, 2",
    usage: "cfsctl init [OPTIONS] [PATH]",
  },
  { name: "empty value", args: ["--repo", "", "gc"], error: "'--repo <REPO>' can't be empty" },
  {
    name: "repo and user",
    args: ["--repo", "x", "--user", "gc"],
    error: "'--repo' and '--user' can't be used together",
    usage: GC_USAGE,
  },
  {
    name: "user and system, one before and one after",
    args: ["--system", "gc", "--user"],
    error: "'--user' and '--system' can't be used together",
    usage: GC_USAGE,
  },
  ...["0", "1025", "-1", "2x", "1.5"].map((n) => ({
    name: `${n} jobs`,
    args: [`--jobs=${n}`, "gc"],
    error: `'--jobs <N>' can't be '${n}'`,
    hint: "it takes a whole number from 1 to 1024",
  })),
  {
    name: "jobs of the environment",
    args: ["gc"],
    env: { CFSCTL_JOBS: "many" },
    error: "the environment variable CFSCTL_JOBS can't be 'many'",
    hint: "it takes a whole number from 1 to 1024",
    usage: GC_USAGE,
  },
  { name: "help of nothing", args: ["help", "nope"], error: "there is no command 'nope'" },
  {
    name: "help too deep",
    args: ["help", "gc", "x"],
    error: "'gc' has no commands of its own, such as 'x'",
    usage: GC_USAGE,
  },
  {
    name: "value checked by the command",
    args: ["init", "--algorithm", "md5"],
    error: "invalid value 'md5' for '--algorithm': algorithm must start with 'fsverity-'",
    usage: "cfsctl init [OPTIONS] [PATH]",
  },
];

describe("wrong usage", () => {
  test.each([...cases])("$name", ({ args, error, hint, usage = ROOT_USAGE, env }) => {
    const hintLine = hint === undefined ? "" : `hint: ${hint}\n`;
    expect(cfsctl(args, env && { env })).toEqual({
      code: 2,
      stdout: "",
      stderr: `cfsctl: error: ${error}\n${hintLine}\nUsage: ${usage}\n\nFor more information, try '--help'.\n`,
    });
  });
});

test("a run-time error is one line and exit code 1", () => {
  const { code, stdout, stderr } = cfsctl(["--repo", "/nonexistent/repository", "images"]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(
    /^cfsctl: error: .*\/nonexistent\/repository.*No such file or directory.*\n(hint: .*\n)?$/,
  );
});

test("--debug adds where the error came from", () => {
  const { code, stderr } = cfsctl(["--repo", "/nonexistent/repository", "images", "--debug"]);
  expect(code).toBe(1);
  expect(stderr).toContain("\n    at ");
});
