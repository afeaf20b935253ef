import type { ProgressEvent } from "../progress.ts";
import { formatBytes } from "./format-bytes.ts";
import type { MessageOutput } from "./output.ts";
import { printable } from "./printable.ts";
import { type ProgressClock, systemClock } from "./progress-clock.ts";
import type { ProgressPrinter } from "./progress-printer.ts";
import { ProgressState, type ProgressTask } from "./progress-state.ts";

/** Time between two lines about how far everything is, in milliseconds. */
const SUMMARY_EVERY = 10_000;
const TICK_EVERY = 1000;

/** One line when something starts, one when it ends, and now and then one about everything: for log files. */
export class PlainProgress implements ProgressPrinter {
  readonly #err: MessageOutput;
  readonly #clock: ProgressClock;
  readonly #state: ProgressState;
  readonly #stopTicking: () => void;
  #saidAt: number;

  constructor(err: MessageOutput, clock: ProgressClock = systemClock) {
    this.#err = err;
    this.#clock = clock;
    this.#saidAt = clock.now();
    this.#state = new ProgressState(this.#saidAt);
    this.#stopTicking = clock.every(TICK_EVERY, () => this.#summarize());
  }

  event(event: ProgressEvent): void {
    const known = event.type === "advance" ? this.#state.tasks.get(event.id)?.waiting : undefined;
    const task = this.#state.apply(event, this.#clock.now());
    switch (event.type) {
      case "start":
        // What has to wait is worth a line when its turn comes.
        if (task?.waiting === false) this.#begin(task);
        break;
      case "advance":
        if (task !== undefined && known === true) this.#begin(task);
        break;
      case "done":
        this.#end(event, task);
        break;
      case "message":
        this.#err.line(printable(event.text));
        break;
      case "plan":
        break;
    }
    this.#summarize();
  }

  finish(): void {
    this.#stopTicking();
  }

  #end({ id, label = "done" }: ProgressEvent & { type: "done" }, task: ProgressTask | undefined): void {
    const size = task?.waiting === true ? sizeOf(task) : "";
    this.#err.line(`${task?.label ?? printable(id)}: ${printable(label)}${size}`);
  }

  #begin(task: ProgressTask): void {
    this.#err.line(`${task.label}${sizeOf(task)}`);
  }

  #summarize(): void {
    const now = this.#clock.now();
    if (this.#state.tasks.size === 0) {
      this.#saidAt = now;
      return;
    }
    if (now - this.#saidAt < SUMMARY_EVERY) return;
    this.#saidAt = now;
    this.#err.line(`total ${this.#state.summary(now)}`);
  }
}

function sizeOf(task: ProgressTask): string {
  return task.total === undefined ? "" : ` (${formatBytes(task.total)})`;
}

/** Least time between two reports of the same id, in milliseconds. */
const REPORT_EVERY = 200;

/** Every event as one JSON object a line: for other programs. */
export class JsonProgress implements ProgressPrinter {
  readonly #err: MessageOutput;
  readonly #clock: ProgressClock;
  readonly #reported = new Map<string, number>();

  constructor(err: MessageOutput, clock: ProgressClock = systemClock) {
    this.#err = err;
    this.#clock = clock;
  }

  event(event: ProgressEvent): void {
    if (event.type === "advance") {
      const now = this.#clock.now();
      if (now - (this.#reported.get(event.id) ?? Number.NEGATIVE_INFINITY) < REPORT_EVERY) return;
      this.#reported.set(event.id, now);
    } else if (event.type === "done") this.#reported.delete(event.id);
    this.#err.line(JSON.stringify(event));
  }

  finish(): void {}
}
