import { GLOBAL_OPTIONS } from "../globals.ts";
import { type CommandSpec, type Completion, findCommand, type OptionSpec, valueName } from "../tree.ts";

/** A word that the one under the cursor may become. */
export interface Candidate {
  readonly value: string;
  readonly help?: string;
}

/** Values of global options that say which repository is meant, as far as they were typed. */
export type TypedGlobals = ReadonlyMap<string, string | true>;

/**
 * Names in the file system or in the repository.
 * @param word what they begin with.
 */
export type FindValues = (kind: Completion, word: string, globals: TypedGlobals) => readonly Candidate[];

/**
 * What the last word of a command line may become. Words before it that make no sense are passed over: nothing is
 * refused here.
 * @param words without the program's name, up to the cursor; the last one is being typed and may be empty.
 */
export function findCandidates(
  root: CommandSpec,
  words: readonly string[],
  findValues: FindValues,
): readonly Candidate[] {
  const line = new TypedLine(root);
  for (const word of words.slice(0, -1)) line.accept(word);
  return line.complete(words.at(-1) ?? "", findValues);
}

const HELP: Candidate = { value: "--help", help: "Show this help" };
const VERSION: Candidate = { value: "--version", help: "Show the version" };
const HELP_COMMAND: Candidate = { value: "help", help: "Show the help of a command" };

/** What the words so far mean. */
class TypedLine {
  readonly #root: CommandSpec;
  /** undefined below a word that is no command. */
  #command: CommandSpec | undefined;
  #positionals = 0;
  /** Behind `--` everything is a positional. */
  #isTerminated = false;
  /** Behind `help` only commands follow. */
  #isHelp = false;
  /** The option whose value comes next. */
  #pending: OptionSpec | undefined;
  readonly #given = new Map<string, string | true>();

  constructor(root: CommandSpec) {
    this.#root = root;
    this.#command = root;
  }

  accept(word: string): void {
    if (this.#pending !== undefined) {
      this.#given.set(this.#pending.name, word);
      this.#pending = undefined;
    } else if (this.#isTerminated) this.#positionals++;
    else if (word === "--") this.#isTerminated = true;
    else if (word.startsWith("--")) this.#acceptOption(word);
    else if (word.startsWith("-") && word.length > 1) this.#acceptLetters(word.slice(1));
    else this.#acceptPlain(word);
  }

  #acceptOption(word: string): void {
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const option = this.#options().find((o) => o.name === name);
    if (option === undefined) return;
    if (option.kind === "boolean") this.#given.set(name, true);
    else if (equals >= 0) this.#given.set(name, word.slice(equals + 1));
    else this.#pending = option;
  }

  #acceptLetters(letters: string): void {
    for (const [i, letter] of [...letters].entries()) {
      const option = this.#options().find((o) => o.short === letter);
      if (option === undefined) return;
      if (option.kind === "boolean") {
        this.#given.set(option.name, true);
        continue;
      }
      // What follows the letter is its value.
      if (i === letters.length - 1) this.#pending = option;
      else this.#given.set(option.name, letters.slice(i + 1));
      return;
    }
  }

  #acceptPlain(word: string): void {
    const commands = this.#command?.subcommands;
    if (commands === undefined) this.#positionals++;
    else if (word === "help" && !this.#isHelp) this.#isHelp = true;
    else this.#command = findCommand(commands, word);
  }

  complete(word: string, findValues: FindValues): readonly Candidate[] {
    const command = this.#command;
    if (command === undefined) return [];
    const isPossible = ({ value }: Candidate) => value.startsWith(word);
    if (this.#pending !== undefined)
      return this.#values(this.#pending, valueName(this.#pending), word, findValues);
    if (this.#isHelp) return commandsOf(command, word).filter(isPossible);
    if (!this.#isTerminated && word.startsWith("-")) {
      const equals = word.startsWith("--") ? word.indexOf("=") : -1;
      if (equals >= 0) return this.#inlineValues(word, equals, findValues);
      return [...this.#optionCandidates(true), HELP].filter(isPossible);
    }
    const words = [
      ...(command.subcommands === undefined ? [] : [...commandsOf(command, word), HELP_COMMAND]),
      ...this.#positionalValues(command, word, findValues),
    ].filter(isPossible);
    // Nobody who has begun a name wants an option.
    if (word !== "" || this.#isTerminated) return words;
    return [...words, ...this.#optionCandidates(command === this.#root), HELP];
  }

  #options(): readonly OptionSpec[] {
    return [...(this.#command?.options ?? []), ...GLOBAL_OPTIONS];
  }

  /** Options that can still be given. @param withGlobals those that every command has, too. */
  #optionCandidates(withGlobals: boolean): Candidate[] {
    const options = withGlobals ? this.#options() : (this.#command?.options ?? []);
    const candidates = options
      .filter(({ name, kind, hidden }) => hidden !== true && (kind === "list" || !this.#given.has(name)))
      .map(({ name, help }): Candidate => ({ value: `--${name}`, help }));
    return this.#command === this.#root ? [...candidates, VERSION] : candidates;
  }

  /** The value behind `--name=`, in words that begin with that. */
  #inlineValues(word: string, equals: number, findValues: FindValues): readonly Candidate[] {
    const option = this.#options().find(({ name }) => name === word.slice(2, equals));
    if (option === undefined || option.kind === "boolean") return [];
    const start = word.slice(0, equals + 1);
    return this.#values(option, valueName(option), word.slice(equals + 1), findValues).map(
      ({ value, ...more }) => ({ ...more, value: start + value }),
    );
  }

  #positionalValues(command: CommandSpec, word: string, findValues: FindValues): readonly Candidate[] {
    const specs = command.positionals ?? [];
    const last = specs.at(-1);
    const spec = specs[this.#positionals] ?? (last?.variadic ? last : undefined);
    return spec === undefined ? [] : this.#values(spec, spec.name, word, findValues);
  }

  #values(
    spec: Pick<OptionSpec, "choices" | "completes">,
    label: string,
    word: string,
    findValues: FindValues,
  ): readonly Candidate[] {
    const { choices, completes = BY_LABEL[label] } = spec;
    const values = choices ?? (completes === undefined ? [] : findValues(completes, word, this.#given));
    return values.filter(({ value }) => value.startsWith(word));
  }
}

const BY_LABEL: Readonly<Record<string, Completion>> = {
  FILE: "path",
  "KEY|FILE": "path",
  DIR: "directory",
  REPO: "directory",
  MOUNTPOINT: "directory",
  OSTREE_REPO: "directory",
  OSTREE_REPO_PATH: "directory",
};

/** Hidden commands are for those who know them: they are offered when nothing else begins like this. */
function commandsOf({ subcommands = [] }: CommandSpec, word: string): Candidate[] {
  const begun = subcommands.filter(({ name }) => name.startsWith(word));
  const visible = begun.filter(({ hidden }) => hidden !== true);
  const offered = visible.length > 0 || word === "" ? visible : begun;
  return offered.map(({ name, summary }) => ({ value: name, help: summary }));
}
