import { describe, expect, test } from "bun:test";
import { ROOT } from "../../src/cli/commands.ts";
import { type CommandSpec, usageLine } from "../../src/cli/tree.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";

function* pathsBelow(path: readonly CommandSpec[]): Generator<readonly CommandSpec[]> {
  yield path;
  for (const command of path[path.length - 1]!.subcommands ?? []) yield* pathsBelow([...path, command]);
}

const paths = [...pathsBelow([ROOT])];
const words = (path: readonly CommandSpec[]) => path.slice(1).map((c) => c.name);

describe("help", () => {
  test.each(paths.map((path) => [path.map((c) => c.name).join(" "), path] as const))("of %s", (_, path) => {
    const long = cfsctl([...words(path), "--help"]);
    expect(long.code).toBe(0);
    expect(long.stderr).toBe("");
    const command = path[path.length - 1]!;
    expect(long.stdout.replaceAll(/\s+/g, " ")).toStartWith(`${command.summary} `);
    expect(long.stdout).toContain(`\nUsage: ${usageLine(path)}\n`);
    for (const option of command.options ?? []) {
      if (!option.hidden) expect(long.stdout).toContain(`--${option.name}`);
    }
    for (const sub of command.subcommands ?? [])
      expect(long.stdout.includes(`\n  ${sub.name} `)).toBe(!sub.hidden);
    for (const line of long.stdout.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(100);
  });

  // 'bun test -u test/cli/help.test.ts' renews what is kept of it; docs/cli.md has the long form of all but the globals.
  test.each(paths.map((path) => [path.map((c) => c.name).join(" "), path] as const))(
    "of %s, on 80 columns, is what it was",
    (_, path) => {
      const env = { COLUMNS: "80" };
      expect(cfsctlOk([...words(path), "-h"], { env })).toMatchSnapshot("-h");
      const long = cfsctlOk([...words(path), "--help"], { env });
      // The global options, which are the same everywhere, are kept once.
      expect(path.length === 1 ? long : long.replace(/\nGlobal options:\n[\s\S]*$/, "")).toMatchSnapshot(
        "--help",
      );
    },
  );

  test("'help COMMAND' says the same as 'COMMAND --help'", () => {
    expect(cfsctl(["help", "gc"])).toEqual(cfsctl(["gc", "--help"]));
    expect(cfsctl(["help"])).toEqual(cfsctl(["--help"]));
  });

  test("-h is shorter", () => {
    const short = cfsctl(["images", "-h"]);
    expect(short.code).toBe(0);
    expect(short.stdout).toMatchInlineSnapshot(`
      "List the named images

      Usage: cfsctl images [OPTIONS]

      Options:
            --json      Print JSON
            --no-trunc  Show digests in full
        -h, --help      Show this help

      Global options, such as --repo: see 'cfsctl --help'.
      "
    `);
  });

  test("is narrower where there is less room", () => {
    const { stdout } = cfsctl(["--help"], { env: { COLUMNS: "60" } });
    for (const line of stdout.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(60);
  });

  test("wins over what follows, and comes after what precedes", () => {
    expect(cfsctl(["gc", "--help", "--bogus"]).code).toBe(0);
    expect(cfsctl(["gc", "--bogus", "--help"]).code).toBe(2);
    expect(cfsctl(["gc", "--root", "x", "--help"]).code).toBe(0);
  });

  const groups = paths.filter((path) => path[path.length - 1]!.subcommands !== undefined);
  test.each(groups.map((path) => [path.map((c) => c.name).join(" "), path] as const))(
    "bare %s explains itself on stderr",
    (_, path) => {
      const { code, stdout, stderr } = cfsctl(words(path));
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toBe(cfsctl([...words(path), "-h"]).stdout);
    },
  );
});

describe("version", () => {
  test.each([[["--version"]], [["-V"]], [["--user", "--version"]]])("%p", (args) => {
    const { code, stdout, stderr } = cfsctl(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^cfsctl \d+\.\d+\.\d+\n$/);
  });
});
