import { ROOT } from "../commands.ts";
import { EXIT } from "../errors.ts";
import { MessageOutput, Output } from "../output.ts";
import { type Candidate, findCandidates } from "./candidates.ts";
import { SCRIPTED_SHELLS, script } from "./scripts.ts";
import { findValues } from "./values.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Shells whose questions are answered: those for which composefs-rs prints scripts, too. */
const SHELLS = ["bash", "elvish", "fish", "powershell", "zsh"];

/**
 * Answers a shell as composefs-rs does: `COMPLETE=SHELL cfsctl` prints a script, `COMPLETE=SHELL cfsctl -- WORDS…` the
 * candidates for one of the words, by default the last one: _CLAP_COMPLETE_INDEX, separated by _CLAP_IFS.
 * @param words of the command line of this program.
 * @returns the exit code.
 */
export function answerShell(words: readonly string[], environment: Environment = process.env): number {
  const out = new Output(1);
  const err = new MessageOutput(2, out);
  const shell = environment.COMPLETE!;
  if (!SHELLS.includes(shell)) {
    const expected = SHELLS.map((name) => `\`${name}\``).join(", ");
    err.line(`error: unknown shell \`${shell}\`, expected one of ${expected}`);
    return EXIT.usage;
  }
  const separator = words.indexOf("--");
  const text = separator < 0 ? script(shell) : answer(shell, words.slice(separator + 1), environment);
  if (text === undefined) {
    err.line(`cfsctl: error: there is no script for ${shell}, only for ${SCRIPTED_SHELLS.join(", ")}`);
    return EXIT.usage;
  }
  out.text(text);
  out.flush();
  return EXIT.ok;
}

/** @param words with the program's name. */
function answer(shell: string, words: readonly string[], environment: Environment): string {
  const index = Number(environment._CLAP_COMPLETE_INDEX ?? words.length - 1);
  if (!Number.isInteger(index) || index < 1) return "";
  const lines = findCandidates(ROOT, [...words.slice(1, index), words[index] ?? ""], findValues)
    .filter(({ value }) => isPlain(value))
    .map((candidate) => format(shell, candidate));
  if (shell === "fish" || shell === "powershell") return lines.map((line) => `${line}\n`).join("");
  return lines.join(environment._CLAP_IFS ?? "\n");
}

/** What holds control characters can't be told apart from the answer's own, and could command the terminal. */
function isPlain(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: see above
  return !/[\x00-\x1f\x7f-\x9f]/.test(value);
}

function format(shell: string, { value, help }: Candidate): string {
  switch (shell) {
    case "zsh": {
      const escaped = value.replaceAll("\\", "\\\\").replaceAll(":", "\\:");
      return help === undefined ? escaped : `${escaped}:${help}`;
    }
    case "fish":
    case "powershell":
      return help === undefined ? value : `${value}\t${help}`;
    default:
      return value;
  }
}
