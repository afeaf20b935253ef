import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Invocation, parseCommandLine } from "../../src/cli/parse.ts";
import type { CommandSpec } from "../../src/cli/tree.ts";
import { UsageError } from "../../src/cli/usage-error.ts";

const load = async () => ({ run() {} });

const ROOT: CommandSpec = {
  name: "tool",
  summary: "A tool",
  subcommands: [
    {
      name: "copy",
      aliases: ["cp"],
      summary: "Copies",
      positionals: [
        { name: "FROM", help: "Source" },
        { name: "TO", help: "Destination", optional: true },
        { name: "MORE", help: "More", optional: true, variadic: true },
      ],
      options: [
        { name: "keep", short: "k", kind: "list", help: "Keep" },
        { name: "quick", short: "q", kind: "boolean", help: "Quick" },
        {
          name: "level",
          short: "l",
          kind: "int",
          min: 1,
          max: 9,
          default: "3",
          env: "TOOL_LEVEL",
          help: "Level",
        },
        { name: "mode", kind: "enum", choices: [{ value: "a" }, { value: "b" }], help: "Mode" },
        { name: "insecure", kind: "boolean", help: "Own meaning of a global option's name" },
        { name: "upper", kind: "string", help: "Upper", requires: ["work"] },
        { name: "work", kind: "string", help: "Work", conflicts: ["quick"] },
      ],
      load,
    },
    { name: "group", summary: "Group", subcommands: [{ name: "leaf", summary: "Leaf", load }] },
  ],
};

function run(words: readonly string[], environment = {}) {
  const invocation = parseCommandLine(ROOT, words, environment);
  if (invocation.kind !== "run") throw new Error(`not to be run: ${invocation.kind}`);
  return invocation;
}

describe("values", () => {
  test("of options and positionals", () => {
    const { args, path } = run([
      "cp",
      "-k",
      "1",
      "src",
      "--keep=2",
      "-k3",
      "dst",
      "-q",
      "x",
      "-",
      "--level",
      "9",
    ]);
    expect(path.map((c) => c.name)).toEqual(["tool", "copy"]);
    expect(args.list("keep")).toEqual(["1", "2", "3"]);
    expect(args.flag("quick")).toBe(true);
    expect(args.int("level")).toBe(9);
    expect(args.text("mode")).toBeUndefined();
    expect(args.required("FROM")).toBe("src");
    expect(args.optional("TO")).toBe("dst");
    expect(args.rest("MORE")).toEqual(["x", "-"]);
  });

  test("left out", () => {
    const { args } = run(["copy", "src"]);
    expect(args.list("keep")).toEqual([]);
    expect(args.flag("quick")).toBe(false);
    expect(args.int("level")).toBe(3);
    expect(args.optional("TO")).toBeUndefined();
    expect(args.rest("MORE")).toEqual([]);
  });

  test("of the environment stand below those given and above defaults", () => {
    expect(run(["copy", "x"], { TOOL_LEVEL: "5" }).args.int("level")).toBe(5);
    expect(run(["copy", "x", "-l", "6"], { TOOL_LEVEL: "5" }).args.int("level")).toBe(6);
    expect(run(["copy", "x"], { TOOL_LEVEL: "" }).args.int("level")).toBe(3);
    expect(() => run(["copy", "x"], { TOOL_LEVEL: "10" })).toThrow("TOOL_LEVEL can't be '10'");
  });

  test("after -- are positionals", () => {
    const { args } = run(["copy", "--", "--keep", "-q"]);
    expect([args.required("FROM"), args.optional("TO")]).toEqual(["--keep", "-q"]);
  });

  test("may begin with a dash when attached", () => {
    expect(run(["copy", "x", "--keep=-1"]).args.list("keep")).toEqual(["-1"]);
    expect(run(["copy", "x", "--keep="]).args.list("keep")).toEqual([""]);
  });
});

describe("global options", () => {
  const before = [
    "--repo",
    "r",
    "--jobs",
    "4",
    "--hash",
    "sha256",
    "--erofs-version=2",
    "--progress",
    "none",
  ];

  test.each([
    ["before the command", [...before, "group", "leaf"]],
    ["after the command", ["group", "leaf", ...before]],
    ["in between", ["group", ...before, "leaf"]],
    ["here and there", [...before.slice(0, 4), "group", "leaf", ...before.slice(4)]],
  ])("%s", (_, words) => {
    expect(run(words).globals).toEqual({
      repo: "r",
      jobs: 4,
      hash: "sha256",
      erofsVersion: 2,
      progress: "none",
      insecure: false,
      requireVerity: false,
      noUpgrade: false,
      noRepo: false,
      debug: false,
    });
  });

  test("a command's own option of the same name wins after the command", () => {
    const after = run(["copy", "x", "--insecure"]);
    expect([after.globals.insecure, after.args.flag("insecure")]).toEqual([false, true]);
    const first = run(["--insecure", "copy", "x"]);
    expect([first.globals.insecure, first.args.flag("insecure")]).toEqual([true, false]);
  });

  test("a value that is a command's name is a value", () => {
    expect(run(["--repo", "group", "copy", "x"]).globals.repo).toBe("group");
  });
});

describe("what belongs together and what doesn't", () => {
  test("requires", () => {
    expect(() => run(["copy", "x", "--upper", "u"])).toThrow("'--upper' needs '--work' as well");
    expect(run(["copy", "x", "--upper", "u", "--work", "w"]).args.text("upper")).toBe("u");
  });

  test("conflicts", () => {
    expect(() => run(["copy", "x", "--work", "w", "-q"])).toThrow(
      "'--work' and '--quick' can't be used together",
    );
  });
});

describe("help and version", () => {
  const kindOf = (...words: string[]): Invocation => parseCommandLine(ROOT, words, {});

  test("anywhere before an error", () => {
    expect(kindOf("group", "leaf", "-h")).toMatchObject({ kind: "help", long: false });
    expect(kindOf("group", "--help")).toMatchObject({ kind: "help", long: true });
    expect(kindOf("copy", "--help")).toMatchObject({ kind: "help" });
    expect(kindOf("-V")).toEqual({ kind: "version" });
    expect(kindOf("group")).toMatchObject({ kind: "incomplete" });
    expect(kindOf()).toMatchObject({ kind: "incomplete" });
    expect(kindOf("help", "cp")).toMatchObject({ kind: "help", path: [{ name: "tool" }, { name: "copy" }] });
  });

  test("not as values", () => {
    expect(() => kindOf("copy", "x", "--keep", "--help")).toThrow("'--keep <KEEP>' needs a value");
    expect(() => kindOf("copy", "-V")).toThrow("unknown option '-V'");
    expect(run(["copy", "help"]).args.required("FROM")).toBe("help");
  });
});

test("any words are either understood or refused as wrong usage", () => {
  const word = fc.oneof(
    fc.constantFrom(
      "copy",
      "cp",
      "group",
      "leaf",
      "help",
      "--",
      "-",
      "-q",
      "-qk",
      "--keep",
      "--level=5",
      "--jobs",
      "4",
    ),
    fc.constantFrom(
      "--repo",
      "--user",
      "--insecure",
      "--no-repo",
      "--mode=a",
      "__proto__",
      "--__proto__",
      "--=",
      "-=",
    ),
    fc.string(),
    fc.string().map((s) => `--${s}`),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (words) => {
      try {
        const { kind } = parseCommandLine(ROOT, words, {});
        expect(["run", "help", "version", "incomplete"]).toContain(kind);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
      }
    }),
    { numRuns: 3000 },
  );
});
