import { parseArgs } from "node:util";
import { Arguments } from "./arguments.ts";
import type { Globals } from "./context.ts";
import { GLOBAL_OPTIONS, globalsOf } from "./globals.ts";
import {
  type Choice,
  type CommandSpec,
  findCommand,
  type OptionSpec,
  optionLabel,
  positionalLabel,
} from "./tree.ts";
import { nearest, UsageError } from "./usage-error.ts";

/** What a command line asks for. `path` leads from the root to the command that is meant. */
export type Invocation =
  | {
      readonly kind: "run";
      readonly path: readonly CommandSpec[];
      readonly globals: Globals;
      readonly args: Arguments;
    }
  | { readonly kind: "help"; readonly path: readonly CommandSpec[]; readonly long: boolean }
  /** A group was named without one of its commands. */
  | { readonly kind: "incomplete"; readonly path: readonly CommandSpec[] }
  | { readonly kind: "version" };

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Understands a command line strictly: every word must be declared.
 * @param words without the program's name
 * @throws UsageError
 */
export function parseCommandLine(
  root: CommandSpec,
  words: readonly string[],
  environment: Environment,
): Invocation {
  const path: CommandSpec[] = [root];
  const globals = new Values(GLOBAL_OPTIONS);
  const known = root.isProgram === true ? [] : GLOBAL_OPTIONS;
  for (let rest = words; ; ) {
    const command = path[path.length - 1]!;
    const own = new Values(command.options ?? []);
    const positionals: string[] = [];
    let descend: number | undefined;
    for (const token of tokensOf(rest, [...known, ...(command.options ?? [])])) {
      if (token.kind === "positional") {
        if (command.subcommands === undefined) {
          positionals.push(token.value);
          continue;
        }
        if (token.value === "help") return helpFor(path, rest.slice(token.index + 1));
        path.push(subcommand(path, token.value));
        descend = token.index + 1;
        break;
      }
      if (token.kind === "option-terminator") continue;
      if (token.rawName === "-h" || token.rawName === "--help") {
        return { kind: "help", path, long: token.rawName === "--help" };
      }
      if (path.length === 1 && (token.rawName === "-V" || token.rawName === "--version"))
        return { kind: "version" };
      const values = own.find(token.name) !== undefined ? own : globals;
      const option = values === globals && root.isProgram === true ? undefined : values.find(token.name);
      // a short name is known by its letter only, a long one by its long form
      if (
        option === undefined ||
        (token.rawName !== `--${option.name}` && token.rawName !== `-${option.short}`)
      ) {
        throw unknownOption(path, token.rawName);
      }
      values.set(path, option, token.value, token.inlineValue === true);
    }
    if (descend !== undefined) {
      rest = rest.slice(descend);
      continue;
    }
    if (command.subcommands !== undefined) return { kind: "incomplete", path };
    const args = new Arguments(own.complete(path, environment), assign(path, positionals));
    return { kind: "run", path, globals: globalsOf(globals.complete(path, environment)), args };
  }
}

function tokensOf(words: readonly string[], specs: readonly OptionSpec[]) {
  const options: Record<string, { type: "boolean" | "string"; short?: string }> = {
    help: { type: "boolean", short: "h" },
    version: { type: "boolean", short: "V" },
  };
  for (const { name, kind, short } of specs) {
    const type = kind === "boolean" ? "boolean" : "string";
    options[name] = short === undefined ? { type } : { type, short };
  }
  return parseArgs({ args: [...words], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function subcommand(path: readonly CommandSpec[], name: string): CommandSpec {
  const commands = path[path.length - 1]!.subcommands!;
  const found = findCommand(commands, name);
  if (found !== undefined) return found;
  const visible = commands.filter((c) => !c.hidden).flatMap((c) => [c.name, ...(c.aliases ?? [])]);
  const near = nearest(name, visible);
  throw new UsageError(path, `there is no command '${name}'`, near && `a similar command exists: '${near}'`);
}

function helpFor(path: readonly CommandSpec[], words: readonly string[]): Invocation {
  const to = [...path];
  for (const word of words) {
    if (to[to.length - 1]!.subcommands === undefined) {
      throw new UsageError(to, `'${to[to.length - 1]!.name}' has no commands of its own, such as '${word}'`);
    }
    to.push(subcommand(to, word));
  }
  return { kind: "help", path: to, long: true };
}

function unknownOption(path: readonly CommandSpec[], rawName: string): UsageError {
  const known = path[0]!.isProgram === true ? [] : GLOBAL_OPTIONS;
  const specs = [...(path[path.length - 1]!.options ?? []), ...known].filter((o) => !o.hidden);
  const near = rawName.startsWith("--")
    ? nearest(
        rawName.slice(2),
        specs.map((o) => o.name),
      )
    : undefined;
  return new UsageError(path, `unknown option '${rawName}'`, near && `a similar option exists: '--${near}'`);
}

/** Values of one set of declared options, checked one by one when set and together when completed. */
class Values {
  readonly #specs: readonly OptionSpec[];
  readonly #values = new Map<string, string | true | string[]>();

  constructor(specs: readonly OptionSpec[]) {
    this.#specs = specs;
  }

  find(name: string): OptionSpec | undefined {
    return this.#specs.find((o) => o.name === name);
  }

  set(path: readonly CommandSpec[], option: OptionSpec, value: string | undefined, inline: boolean): void {
    const before = this.#values.get(option.name);
    if (before !== undefined && option.kind !== "list") {
      throw new UsageError(path, `'${optionLabel(option)}' was given more than once`);
    }
    if (option.kind === "boolean") {
      if (value !== undefined) throw new UsageError(path, `'--${option.name}' takes no value`);
      this.#values.set(option.name, true);
      return;
    }
    const missing = value === undefined || (!inline && value.length > 1 && value.startsWith("-"));
    if (missing)
      throw new UsageError(path, `'${optionLabel(option)}' needs a value`, choicesHint(option.choices));
    checkValue(path, option, value, `'${optionLabel(option)}'`);
    if (option.kind === "list")
      this.#values.set(option.name, [...((before as string[] | undefined) ?? []), value]);
    else this.#values.set(option.name, value);
  }

  /** Checks what must and must not stand together, and fills in the environment's values and defaults. */
  complete(
    path: readonly CommandSpec[],
    environment: Environment,
  ): ReadonlyMap<string, string | true | string[]> {
    for (const option of this.#specs) {
      if (!this.#values.has(option.name)) continue;
      for (const other of option.conflicts ?? []) {
        if (this.#values.has(other)) {
          throw new UsageError(path, `'--${option.name}' and '--${other}' can't be used together`);
        }
      }
      for (const other of option.requires ?? []) {
        if (!this.#values.has(other))
          throw new UsageError(path, `'--${option.name}' needs '--${other}' as well`);
      }
    }
    for (const option of this.#specs) {
      if (this.#values.has(option.name)) continue;
      if (option.required) throw new UsageError(path, `'${optionLabel(option)}' must be given`);
      const fromEnvironment = option.env === undefined ? "" : (environment[option.env] ?? "");
      if (fromEnvironment !== "") {
        checkValue(path, option, fromEnvironment, `the environment variable ${option.env}`);
        this.#values.set(option.name, fromEnvironment);
      } else if (option.default !== undefined) this.#values.set(option.name, option.default);
    }
    return this.#values;
  }
}

function checkValue(path: readonly CommandSpec[], option: OptionSpec, value: string, who: string): void {
  if (option.choices !== undefined && !option.choices.some((c) => c.value === value)) {
    throw new UsageError(path, `${who} can't be '${value}'`, choicesHint(option.choices));
  }
  if (option.notEmpty && value === "") throw new UsageError(path, `${who} can't be empty`);
  if (option.kind !== "int") return;
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
  if (!/^[0-9]+$/.test(value) || Number(value) < min || Number(value) > max) {
    const range =
      option.max === undefined ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`;
    throw new UsageError(path, `${who} can't be '${value}'`, `it takes ${range}`);
  }
}

function choicesHint(choices: readonly Choice[] | undefined): string | undefined {
  return choices && `possible values: ${choices.map((c) => c.value).join(", ")}`;
}

function assign(
  path: readonly CommandSpec[],
  given: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const specs = path[path.length - 1]!.positionals ?? [];
  const assigned = new Map<string, readonly string[]>();
  let next = 0;
  for (const spec of specs) {
    const values = spec.variadic ? given.slice(next) : given.slice(next, next + 1);
    next += values.length;
    if (values.length === 0 && !spec.optional) {
      const missing = specs.slice(specs.indexOf(spec)).filter((s) => !s.optional);
      throw new UsageError(path, `missing argument: ${missing.map(positionalLabel).join(" ")}`);
    }
    for (const value of values) {
      if (spec.choices !== undefined && !spec.choices.some((c) => c.value === value)) {
        throw new UsageError(
          path,
          `'${positionalLabel(spec)}' can't be '${value}'`,
          choicesHint(spec.choices),
        );
      }
    }
    assigned.set(spec.name, values);
  }
  if (next < given.length) throw new UsageError(path, `unexpected argument '${given[next]}'`);
  return assigned;
}
