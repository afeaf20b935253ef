import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../src/cli/commands.ts";
import { GLOBAL_OPTIONS } from "../../src/cli/globals.ts";
import { type CommandSpec, findCommand } from "../../src/cli/tree.ts";
import { PROJECT } from "../support/project.ts";

interface ReferenceCommand {
  readonly options: readonly { readonly name: string; readonly short?: string; readonly value?: string }[];
  readonly positionals: readonly string[];
}

const { commands } = JSON.parse(readFileSync(join(PROJECT, "fixtures/cli/reference-names.json"), "utf8")) as {
  commands: Readonly<Record<string, ReferenceCommand>>;
};

/** Options that this version lacks. Who adds one removes it here. */
const LACKING: Readonly<Record<string, readonly string[]>> = {
  mount: ["fuse", "foreground"],
  "oci mount": ["fuse", "foreground"],
  "oci pull": ["local-fetch"],
  "ostree mount": ["fuse", "foreground"],
};

function commandAt(path: string): CommandSpec | undefined {
  let command: CommandSpec | undefined = ROOT;
  for (const name of path.split(" ").filter((n) => n !== ""))
    command = command && findCommand(command.subcommands ?? [], name);
  return command;
}

/** Whether an argument may be left out: `<NAME>` is "<>", `[NAME]...` is "[]". Taking more of them is no harm. */
const arityOf = (label: string) => label.replaceAll(/[A-Z_.]/g, "");

describe("names of composefs-rs are kept", () => {
  for (const [path, reference] of Object.entries(commands)) {
    const command = commandAt(path);
    if (command === undefined) continue;
    test(path === "" ? "global options" : path, () => {
      const options = path === "" ? GLOBAL_OPTIONS : (command.options ?? []);
      for (const { name, short, value } of reference.options) {
        const own = options.find((o) => o.name === name);
        if (LACKING[path]?.includes(name)) {
          expect({ name, declared: own !== undefined }).toEqual({ name, declared: false });
          continue;
        }
        expect({ name, short: own?.short, takesValue: own && own.kind !== "boolean" }).toEqual({
          name,
          short,
          takesValue: value !== undefined,
        });
      }
      const own = (command.positionals ?? []).map((p): string => (p.optional ? "[]" : "<>"));
      expect(own.slice(0, reference.positionals.length)).toEqual(reference.positionals.map(arityOf));
      for (const [i, label] of reference.positionals.entries())
        if (label.endsWith("...")) expect(command.positionals?.[i]?.variadic).toBe(true);
    });
  }
});

describe("the tree itself", () => {
  function* all(command: CommandSpec, path: string): Generator<readonly [string, CommandSpec]> {
    yield [path, command];
    for (const sub of command.subcommands ?? []) yield* all(sub, `${path} ${sub.name}`);
  }

  test.each([...all(ROOT, ROOT.name)])("%s", (_, command) => {
    const options = command.options ?? [];
    const names = options.map((o) => o.name);
    expect(new Set(names).size).toBe(names.length);
    const shorts = options.flatMap((o) => o.short ?? []);
    expect(new Set([...shorts, "h", "V"]).size).toBe(shorts.length + 2);
    for (const option of options) {
      expect({ option: option.name, choices: option.choices !== undefined }).toEqual({
        option: option.name,
        choices: option.kind === "enum",
      });
      for (const other of [...(option.requires ?? []), ...(option.conflicts ?? [])])
        expect(names).toContain(other);
    }
    const subs = (command.subcommands ?? []).flatMap((c) => [c.name, ...(c.aliases ?? [])]);
    expect(new Set([...subs, "help"]).size).toBe(subs.length + 1);
    const positionals = command.positionals ?? [];
    const firstOptional = positionals.findIndex((p) => p.optional);
    if (firstOptional >= 0) expect(positionals.slice(firstOptional).every((p) => p.optional)).toBe(true);
    expect(positionals.slice(0, -1).some((p) => p.variadic)).toBe(false);
    expect(command.summary).toMatch(/^[A-Z].*[^.]$/);
    // a command does something, or has commands that do
    expect(command.load === undefined).toBe(command.subcommands !== undefined);
  });
});
