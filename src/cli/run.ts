import { runCommand } from "citty";
import { toCitty } from "./citty.ts";
import type { Context } from "./context.ts";
import { EXIT, failureOf } from "./errors.ts";
import { renderHelp } from "./help.ts";
import { MessageOutput, Output } from "./output.ts";
import { parseCommandLine } from "./parse.ts";
import { makeProgress } from "./progress.ts";
import type { CommandSpec } from "./tree.ts";
import { versionLine } from "./version.ts";

const WIDEST_HELP = 100;

/**
 * Runs the command line `words` and ends the program with its exit code.
 * @param words without the program's name
 */
export async function runProgram(root: CommandSpec, words: readonly string[]): Promise<never> {
  const out = new Output(1);
  const err = new MessageOutput(2, out);
  out.overlay = { clear: () => err.overlay !== undefined && out.isTerminal && err.overlay.clear() };
  // until the options are understood, a glance has to do
  let debug = words.includes("--debug");
  let running: readonly CommandSpec[] | undefined;

  const fail = (error: unknown): never => {
    let failure = failureOf(error, debug, running, root.name);
    try {
      out.flush();
    } catch (flushError) {
      // stdout can't be written: that is the failure to report, unless it has just been
      if (flushError !== error && failure.code === EXIT.ok)
        failure = failureOf(flushError, debug, undefined, root.name);
    }
    err.overlay?.clear();
    err.raw(failure.text);
    process.exit(failure.code);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);

  try {
    const invocation = parseCommandLine(root, words, process.env);
    if (invocation.kind === "version") out.line(versionLine(root.name));
    else if (invocation.kind === "help") out.text(renderHelp(invocation.path, invocation.long, helpWidth(1)));
    else if (invocation.kind === "incomplete") {
      err.text(renderHelp(invocation.path, false, helpWidth(2)));
      process.exit(EXIT.usage);
    } else {
      const { globals, args, path } = invocation;
      debug = globals.debug;
      running = path;
      const progress = makeProgress(globals.progress, err);
      const context: Context = { globals, out, err, progress };
      const tree = toCitty(root, {
        run: async (command) => (await command.load!()).run(context, args),
        cleanup: () => progress.finish(),
      });
      await runCommand(tree, { rawArgs: path.slice(1).map((c) => c.name) });
    }
    out.flush();
  } catch (error) {
    fail(error);
  }
  process.exit(process.exitCode ?? EXIT.ok);
}

function helpWidth(fd: 1 | 2): number {
  const given = Number(process.env.COLUMNS);
  const columns =
    Number.isInteger(given) && given > 0 ? given : (fd === 1 ? process.stdout : process.stderr).columns;
  return Math.min(WIDEST_HELP, columns ?? WIDEST_HELP);
}
