import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";

/** One value that an `enum` option or positional takes. */
export interface Choice {
  readonly value: string;
  readonly help?: string;
}

/** What a shell offers for a word: names in the file system or in the repository. */
export type Completion =
  | "path"
  | "directory"
  /** EROFS images, by refs and digests; `image-id`: by digests only. */
  | "image"
  | "image-id"
  /** Streams, as `cat` takes them. */
  | "stream"
  /** Entries of `streams/` and `images/`. */
  | "root"
  /** refs/NAME of streams and images/refs/NAME of images. */
  | "ref"
  | "object"
  /** Container images in the repository, by tags and digests. */
  | "container"
  | "tag"
  | "layer"
  /** Where container images come from, and where they go to. */
  | "source"
  | "destination"
  | "commit"
  | "commit-name"
  /** Images of both kinds, and paths. */
  | "comparable";

export interface OptionSpec {
  /** Long name without the dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** `list` takes a value and may be repeated; all others but `boolean` take a value once. */
  readonly kind: "boolean" | "string" | "int" | "enum" | "list";
  /** One short sentence, shown by `-h`. */
  readonly help: string;
  /** What `--help` adds. */
  readonly details?: string;
  /** Name of the value in help texts; the option's name in capitals unless given. */
  readonly value?: string;
  /** Of an `enum`: what it takes. */
  readonly choices?: readonly Choice[];
  /** Values that are named FILE, DIR or REPO are completed as paths without it. */
  readonly completes?: Completion;
  /** Of an `int`: the smallest and greatest value. */
  readonly min?: number;
  readonly max?: number;
  /** An empty string is a usage error. */
  readonly notEmpty?: boolean;
  readonly default?: string;
  /** Environment variable that stands in for the option. */
  readonly env?: string;
  readonly hidden?: boolean;
  /** Names of options that must be given too. */
  readonly requires?: readonly string[];
  /** Names of options that must not be given too; saying it on one side is enough. */
  readonly conflicts?: readonly string[];
  /** The command can't run without it. */
  readonly required?: boolean;
}

export interface PositionalSpec {
  /** In capitals, as shown in help texts. */
  readonly name: string;
  readonly help: string;
  /** May be left out. Only the last ones can be. */
  readonly optional?: boolean;
  /** Takes all that follow; only the last one can. */
  readonly variadic?: boolean;
  readonly choices?: readonly Choice[];
  readonly completes?: Completion;
}

/** What a command's module exports. */
export interface CommandModule {
  run(context: Context, args: Arguments): void | Promise<void>;
}

export interface CommandSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  /** A program of its own, without the global options. */
  readonly isProgram?: boolean;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` says below the summary. */
  readonly description?: string;
  readonly positionals?: readonly PositionalSpec[];
  readonly options?: readonly OptionSpec[];
  readonly subcommands?: readonly CommandSpec[];
  /** Loads the module that does the work: only the command that was asked for is loaded. */
  readonly load?: () => Promise<CommandModule>;
}

export function findCommand(commands: readonly CommandSpec[], name: string): CommandSpec | undefined {
  return commands.find((c) => c.name === name || c.aliases?.includes(name));
}

/** The name of an option's value as help texts and messages show it. */
export function valueName(option: OptionSpec): string {
  return option.value ?? option.name.toUpperCase().replaceAll("-", "_");
}

/** `--name` or `--name <VALUE>`. */
export function optionLabel(option: OptionSpec): string {
  return option.kind === "boolean" ? `--${option.name}` : `--${option.name} <${valueName(option)}>`;
}

/** `<NAME>`, `[NAME]`, `<NAME>...` or `[NAME]...`. */
export function positionalLabel(positional: PositionalSpec): string {
  const name = positional.optional ? `[${positional.name}]` : `<${positional.name}>`;
  return positional.variadic ? `${name}...` : name;
}

/** `cfsctl oci pull [OPTIONS] <IMAGE> [NAME]`: the last of `path` is the command that is shown. */
export function usageLine(path: readonly CommandSpec[]): string {
  const command = path[path.length - 1]!;
  const parts = path.map((c) => c.name);
  for (const option of command.options ?? []) if (option.required) parts.push(optionLabel(option));
  const optional = (command.options ?? []).some((o) => !o.required && !o.hidden);
  if (optional || command.subcommands === undefined) parts.push("[OPTIONS]");
  if (command.subcommands !== undefined) parts.push("<COMMAND>");
  for (const positional of command.positionals ?? []) parts.push(positionalLabel(positional));
  return parts.join(" ");
}
