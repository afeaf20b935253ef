import { GLOBAL_OPTIONS } from "./globals.ts";
import {
  type Choice,
  type CommandSpec,
  type OptionSpec,
  optionLabel,
  positionalLabel,
  usageLine,
} from "./tree.ts";

const HELP_OPTION: OptionSpec = { name: "help", short: "h", kind: "boolean", help: "Show this help" };
const VERSION_OPTION: OptionSpec = { name: "version", short: "V", kind: "boolean", help: "Show the version" };
const HELP_COMMAND: CommandSpec = { name: "help", summary: "Show the help of a command" };

/** Left column of terms, right column of paragraphs. */
type Row = readonly [term: string, ...paragraphs: string[]];

/**
 * The help text of the last command of `path`.
 * @param long with descriptions and the meaning of values, else one line each
 * @param width in columns
 */
export function renderHelp(path: readonly CommandSpec[], long: boolean, width: number): string {
  const command = path[path.length - 1]!;
  const blocks: string[] = [wrap(command.summary, 0, width).join("\n")];
  if (long && command.description !== undefined) {
    blocks.push(...command.description.split("\n\n").map((p) => wrap(p, 0, width).join("\n")));
  }
  blocks.push(`Usage: ${usageLine(path)}`);
  if (command.subcommands !== undefined) {
    const commands = [...command.subcommands.filter((c) => !c.hidden), HELP_COMMAND];
    blocks.push(section("Commands", commands.map(commandRow), width));
  }
  const positionals = command.positionals ?? [];
  if (positionals.length > 0) {
    const rows = positionals.map((p): Row => [positionalLabel(p), ...withChoices(p.help, p.choices, long)]);
    blocks.push(section("Arguments", rows, width));
  }
  const own = [...(command.options ?? []), HELP_OPTION, ...(path.length === 1 ? [VERSION_OPTION] : [])];
  blocks.push(section("Options", optionRows(own, long), width));
  if (path[0]!.isProgram === true) return `${blocks.join("\n\n")}\n`;
  const globals = GLOBAL_OPTIONS.filter((o) => !own.some((p) => p.name === o.name));
  if (long || path.length === 1) blocks.push(section("Global options", optionRows(globals, long), width));
  else blocks.push(`Global options, such as --repo: see '${path[0]!.name} --help'.`);
  return `${blocks.join("\n\n")}\n`;
}

function commandRow(command: CommandSpec): Row {
  const aliases = command.aliases ?? [];
  const text = aliases.length === 0 ? command.summary : `${command.summary} [also: ${aliases.join(", ")}]`;
  return [command.name, text];
}

function optionRows(options: readonly OptionSpec[], long: boolean): Row[] {
  return options.filter((o) => !o.hidden).map((o) => [optionTerm(o), ...optionParagraphs(o, long)]);
}

function optionTerm(option: OptionSpec): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  return `${short}${optionLabel(option)}${option.kind === "list" ? "..." : ""}`;
}

function optionParagraphs(option: OptionSpec, long: boolean): string[] {
  const notes: string[] = [];
  if (option.env !== undefined) notes.push(`[env: ${option.env}]`);
  if (option.default !== undefined) notes.push(`[default: ${option.default}]`);
  const text = long && option.details !== undefined ? `${option.help}. ${option.details}` : option.help;
  return withChoices([text, ...notes].join(" "), option.choices, long);
}

/** One paragraph with the values, or one more for each value that has a meaning to tell. */
function withChoices(text: string, choices: readonly Choice[] | undefined, long: boolean): string[] {
  if (choices === undefined) return [text];
  if (!long || choices.every((c) => c.help === undefined)) {
    return [`${text} [possible values: ${choices.map((c) => c.value).join(", ")}]`];
  }
  return [text, ...choices.map((c) => (c.help === undefined ? `- ${c.value}` : `- ${c.value}: ${c.help}`))];
}

/** Indent of a section's terms, room between term and text, and the least width of a text beside its term. */
const INDENT = 2;
const GAP = 2;
const LEAST_TEXT = 30;
const WIDEST_TERM = 34;

function section(title: string, rows: readonly Row[], width: number): string {
  const column = INDENT + GAP + Math.min(WIDEST_TERM, Math.max(...rows.map(([term]) => term.length)));
  const beside = width - column >= LEAST_TEXT;
  const lines = [`${title}:`];
  for (const [term, ...paragraphs] of rows) {
    const wrapped = paragraphs.flatMap((text) => wrap(text, beside ? column : INDENT + 4, width));
    const start = " ".repeat(INDENT) + term;
    if (beside && start.length + GAP <= column)
      lines.push(start.padEnd(column) + wrapped[0]!.trimStart(), ...wrapped.slice(1));
    else lines.push(start, ...wrapped);
  }
  return lines.join("\n");
}

/** Lines of at most `width` columns, each indented. A word that is too long gets a line of its own. */
function wrap(text: string, indent: number, width: number): string[] {
  const margin = " ".repeat(indent);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && indent + line.length + 1 + word.length > width) {
      lines.push(margin + line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(margin + line);
  return lines;
}
