import { GLOBAL_OPTIONS } from "./globals.ts";
import {
  type Choice,
  type CommandSpec,
  type OptionSpec,
  type PositionalSpec,
  positionalLabel,
  valueName,
} from "./tree.ts";

/** Where a manual page comes from and when: the four texts of its head and foot. */
export interface PageFacts {
  readonly version: string;
  /** `YYYY-MM-DD`. */
  readonly date: string;
}

/** Name of the page of a command: `cfsctl-oci-pull`. */
export function pageName(path: readonly CommandSpec[]): string {
  return path.map(({ name }) => name).join("-");
}

/**
 * The manual page of the last command of `path`, in the man(7) language.
 */
export function manPage(path: readonly CommandSpec[], { version, date }: PageFacts): string {
  const command = path.at(-1)!;
  const isRoot = path.length === 1;
  const blocks = [
    `.TH ${argument(pageName(path).toUpperCase())} 1 ${argument(date)} ${argument(version)} ${argument("User Commands")}`,
    // Neither hyphenated nor justified: what is typed must stay as it is.
    ".nh\n.ad l",
    section("NAME", `${literal(pageName(path))} \\-\n${text(lowered(command.summary))}`),
    section("SYNOPSIS", synopsis(path)),
    section("DESCRIPTION", description(command)),
  ];
  const commands = (command.subcommands ?? []).filter(({ hidden }) => hidden !== true);
  if (commands.length > 0) {
    const entries = commands.map((sub) =>
      tagged(`.BR ${pageName([...path, sub]).replaceAll("-", "\\-")} (1)`, sub.summary),
    );
    blocks.push(section("COMMANDS", entries.join("\n")));
  }
  const positionals = command.positionals ?? [];
  if (positionals.length > 0) blocks.push(section("ARGUMENTS", positionals.map(positionalEntry).join("\n")));
  const options = visible(command.options ?? []);
  if (options.length > 0) blocks.push(section("OPTIONS", options.map(optionEntry).join("\n")));
  if (isRoot) blocks.push(section("GLOBAL OPTIONS", visible(GLOBAL_OPTIONS).map(optionEntry).join("\n")));
  else
    blocks.push(
      section(
        "GLOBAL OPTIONS",
        `Options that every command has, such as \\fB\\-\\-repo\\fR, are described in\n.BR ${path[0]!.name} (1).`,
      ),
    );
  blocks.push(
    section(
      "EXIT STATUS",
      text(
        `0 when all went well, 2 for a command line that can't be understood, 1 for every other failure${
          command.name === "diff" ? ", and when something differs" : ""
        }.`,
      ),
    ),
  );
  const related = relatedPages(path, commands);
  if (related.length > 0)
    blocks.push(
      section(
        "SEE ALSO",
        related
          .map((name, i) => `.BR ${name.replaceAll("-", "\\-")} (1)${i < related.length - 1 ? "," : ""}`)
          .join("\n"),
      ),
    );
  return `${blocks.join("\n")}\n`;
}

function section(title: string, content: string): string {
  return `.SH ${title}\n${content}`;
}

function synopsis(path: readonly CommandSpec[]): string {
  const command = path.at(-1)!;
  const words = [`\\fB${path.map(({ name }) => literal(name)).join(" ")}\\fR`];
  for (const option of visible(command.options ?? []).filter(({ required }) => required))
    words.push(`${optionTerm(option, false)}`);
  if (visible(command.options ?? []).some(({ required }) => !required) || path.length === 1)
    words.push("[\\fIOPTIONS\\fR]");
  if (command.subcommands !== undefined) words.push("\\fICOMMAND\\fR");
  for (const positional of command.positionals ?? []) words.push(positionalTerm(positional));
  return words.join(" ");
}

function description({ summary, description }: CommandSpec): string {
  const paragraphs = [`${summary}.`, ...(description?.split("\n\n") ?? [])];
  return paragraphs.map(text).join("\n.PP\n");
}

function positionalEntry(positional: PositionalSpec): string {
  return tagged(positionalTerm(positional), `${positional.help}.`, positional.choices);
}

function positionalTerm(positional: PositionalSpec): string {
  const name = `\\fI${literal(positional.name)}\\fR`;
  const label = positionalLabel(positional);
  return `${positional.optional ? `[${name}]` : name}${label.endsWith("...") ? "..." : ""}`;
}

function optionEntry(option: OptionSpec): string {
  const notes = [
    ...(option.env === undefined ? [] : [`The environment variable ${option.env} stands in for it.`]),
    ...(option.default === undefined ? [] : [`The default is ${option.default}.`]),
    ...(option.kind === "list" ? ["It may be repeated."] : []),
  ];
  const sentences = [`${option.help}.`, ...(option.details === undefined ? [] : [option.details]), ...notes];
  return tagged(optionTerm(option, true), sentences.join(" ").replaceAll("..", "."), option.choices);
}

/** @param withShort with the letter in front. */
function optionTerm(option: OptionSpec, withShort: boolean): string {
  const short = withShort && option.short !== undefined ? `\\fB\\-${option.short}\\fR, ` : "";
  const value = option.kind === "boolean" ? "" : ` \\fI${literal(valueName(option))}\\fR`;
  return `${short}\\fB${literal(`--${option.name}`)}\\fR${value}`;
}

/** @param term one line, already in the language of the page. */
function tagged(term: string, content: string, choices: readonly Choice[] = []): string {
  const lines = [".TP", term, text(content)];
  if (choices.length > 0) {
    lines.push(".RS");
    for (const { value, help } of choices)
      lines.push(".TP", `\\fB${literal(value)}\\fR`, text(help ?? "As it says."));
    lines.push(".RE");
  }
  return lines.join("\n");
}

function relatedPages(path: readonly CommandSpec[], commands: readonly CommandSpec[]): string[] {
  const parents = path.slice(0, -1).map((_, i) => pageName(path.slice(0, i + 1)));
  return [...parents, ...commands.map((sub) => pageName([...path, sub]))];
}

function visible(options: readonly OptionSpec[]): readonly OptionSpec[] {
  return options.filter(({ hidden }) => hidden !== true);
}

function lowered(summary: string): string {
  return /^[A-Z][a-z]/.test(summary) ? summary[0]!.toLowerCase() + summary.slice(1) : summary;
}

/** Running text, where backquotes stand for bold; every sentence on lines of its own. Nothing at the beginning of a line is taken for a request. */
function text(content: string): string {
  return content
    .replace(/`([^`]*)`/g, `${BOLD}$1${ROMAN}`)
    .split(/\n|(?<=[.!?]) +(?=[A-Z-])/)
    .flatMap(linesOf)
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join("\n");
}

/** Lines of a page's source should be shorter than this. */
const SOURCE_WIDTH = 78;

function linesOf(sentence: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of sentence.split(" ").map(typeset)) {
    if (line !== "" && line.length + 1 + word.length > SOURCE_WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** What is typed, such as options and places, is not divided at its hyphens. */
function typeset(word: string): string {
  const isTyped = /^[^a-z]*-|[:/=_<>[\]]/.test(word);
  const shown = isTyped ? literal(word) : plainText(word);
  return shown.replace(BOLD, "\\fB").replace(ROMAN, "\\fR");
}

/** Stand for the beginning and the end of bold text until the words are in their lines. */
const BOLD = "\ue000";
const ROMAN = "\ue001";

/** A word that is typed as it is. */
function literal(word: string): string {
  return plainText(word).replaceAll("-", "\\-");
}

function plainText(content: string): string {
  return content
    .replaceAll("\\", "\\e")
    .replaceAll("…", "\\&...")
    .replaceAll("–", "\\(en")
    .replaceAll("’", "\\(cq");
}

function argument(content: string): string {
  return `"${plainText(content).replaceAll('"', "\\(dq")}"`;
}
