import type { ProgressEvent } from "../progress.ts";
import { silentProgress } from "../progress.ts";
import type { ProgressMode } from "./context.ts";
import type { MessageOutput } from "./output.ts";
import { JsonProgress, PlainProgress } from "./progress-lines.ts";
import type { ProgressPrinter } from "./progress-printer.ts";
import { TerminalProgress } from "./progress-terminal.ts";

/** The printer that `--progress` asks for; `auto` looks at what stderr is. */
export function makeProgress(mode: ProgressMode, err: MessageOutput): ProgressPrinter {
  switch (mode) {
    case "none":
      return { event: silentProgress.event, finish() {} };
    case "json":
      return new JsonProgress(err);
    case "plain":
      return new PlainProgress(err);
    case "auto":
      return new LazyProgress(err);
  }
}

/** Asks whether stderr is a terminal only when there is something to show: most commands never show progress. */
class LazyProgress implements ProgressPrinter {
  readonly #err: MessageOutput;
  #printer: ProgressPrinter | undefined;

  constructor(err: MessageOutput) {
    this.#err = err;
  }

  event(event: ProgressEvent): void {
    this.#printer ??=
      this.#err.isTerminal && process.env.TERM !== "dumb"
        ? new TerminalProgress(this.#err)
        : new PlainProgress(this.#err);
    this.#printer.event(event);
  }

  finish(): void {
    this.#printer?.finish();
  }
}
