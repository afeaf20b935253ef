import type { ProgressEvent } from "../progress.ts";
import { formatBytes } from "./format-bytes.ts";
import type { MessageOutput } from "./output.ts";
import { printable } from "./printable.ts";
import type { ProgressPrinter } from "./progress-printer.ts";

/** One line when something starts, one when it ends: for log files. */
export class PlainProgress implements ProgressPrinter {
  readonly #err: MessageOutput;
  readonly #labels = new Map<string, string>();

  constructor(err: MessageOutput) {
    this.#err = err;
  }

  event(event: ProgressEvent): void {
    switch (event.type) {
      case "start": {
        const label = printable(event.label);
        this.#labels.set(event.id, label);
        const size = event.totalBytes === undefined ? "" : ` (${formatBytes(event.totalBytes)})`;
        this.#err.line(`${label}${size}`);
        return;
      }
      case "done": {
        const label = this.#labels.get(event.id) ?? event.id;
        this.#labels.delete(event.id);
        this.#err.line(`${label}: ${event.label ?? "done"}`);
        return;
      }
      case "message":
        this.#err.line(printable(event.text));
        return;
      case "advance":
        return;
    }
  }

  finish(): void {}
}

/** Least time between two reports of the same id, in milliseconds. */
const REPORT_EVERY = 200;

/** Every event as one JSON object a line: for other programs. */
export class JsonProgress implements ProgressPrinter {
  readonly #err: MessageOutput;
  readonly #reported = new Map<string, number>();

  constructor(err: MessageOutput) {
    this.#err = err;
  }

  event(event: ProgressEvent): void {
    if (event.type === "advance") {
      const now = performance.now();
      if (now - (this.#reported.get(event.id) ?? Number.NEGATIVE_INFINITY) < REPORT_EVERY) return;
      this.#reported.set(event.id, now);
    } else if (event.type === "done") this.#reported.delete(event.id);
    this.#err.line(JSON.stringify(event));
  }

  finish(): void {}
}
