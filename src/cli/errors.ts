import { describeError, hintOf, kindOf } from "../errors.ts";
import { printable } from "./printable.ts";
import { type CommandSpec, usageLine } from "./tree.ts";
import { UsageError } from "./usage-error.ts";

/** What the program's exit codes mean; docs/exit-codes.md explains them to users. */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

export interface Failure {
  /** For stderr, ends with a line end. */
  readonly text: string;
  readonly code: number;
}

/**
 * What to tell the user about an error.
 * @param debug adds where in the program it was thrown
 * @param path the command that was run, if it came that far
 * @param program its name
 */
export function failureOf(
  error: unknown,
  debug: boolean,
  path?: readonly CommandSpec[],
  program = "cfsctl",
): Failure {
  const lines = [`${program}: error: ${printable(describeError(error))}`];
  const hint = hintOf(error);
  if (hint !== undefined) lines.push(`hint: ${printable(hint)}`);
  const usage = error instanceof UsageError ? error.path : path;
  if (usage !== undefined && kindOf(error) === "Usage") {
    lines.push("", `Usage: ${usageLine(usage)}`, "", "For more information, try '--help'.");
  }
  if (debug) lines.push("", ...stacksOf(error));
  return { text: `${lines.join("\n")}\n`, code: kindOf(error) === "Usage" ? EXIT.usage : EXIT.failure };
}

function stacksOf(error: unknown): string[] {
  const stacks: string[] = [];
  for (let e = error; e instanceof Error; e = e.cause) stacks.push(e.stack ?? e.message);
  return stacks;
}
