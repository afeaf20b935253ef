import type { ProgressEvent } from "../progress.ts";
import { formatBytes, formatDuration } from "./format-bytes.ts";
import type { MessageOutput, Overlay } from "./output.ts";
import { printable } from "./printable.ts";
import type { ProgressPrinter } from "./progress-printer.ts";

interface Task {
  readonly label: string;
  readonly total: number | undefined;
  bytes: number;
}

/** Least time between two drawings, in milliseconds. */
const REDRAW_EVERY = 100;
const MOST_LINES = 8;
const BAR_WIDTH = 20;

/**
 * A line for each running task and one for all of them, redrawn in place. The cursor always rests at the start of
 * the line below and is never hidden, so that an interrupt at any moment leaves the terminal as it should be.
 */
export class TerminalProgress implements ProgressPrinter, Overlay {
  readonly #err: MessageOutput;
  readonly #tasks = new Map<string, Task>();
  readonly #started = performance.now();
  #finishedBytes = 0;
  #drawnLines = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(err: MessageOutput) {
    this.#err = err;
    err.overlay = this;
  }

  event(event: ProgressEvent): void {
    switch (event.type) {
      case "start":
        this.#tasks.set(event.id, { label: printable(event.label), total: event.totalBytes, bytes: 0 });
        break;
      case "advance": {
        const task = this.#tasks.get(event.id);
        if (task !== undefined) task.bytes = event.bytes;
        break;
      }
      case "done": {
        const task = this.#tasks.get(event.id);
        this.#tasks.delete(event.id);
        this.#finishedBytes += event.bytes ?? task?.bytes ?? 0;
        this.#err.line(`${task?.label ?? event.id}: ${event.label ?? "done"}`);
        break;
      }
      case "message":
        this.#err.line(printable(event.text));
        break;
    }
    const now = performance.now();
    if (now - this.#drawnAt >= REDRAW_EVERY) this.#draw(now);
  }

  clear(): void {
    if (this.#drawnLines === 0) return;
    this.#err.raw(`\x1b[${this.#drawnLines}A\x1b[J`);
    this.#drawnLines = 0;
  }

  finish(): void {
    this.clear();
    this.#tasks.clear();
    this.#err.overlay = undefined;
  }

  #draw(now: number): void {
    this.#drawnAt = now;
    const width = this.#err.columns;
    const tasks = [...this.#tasks.values()];
    const lines = tasks.slice(0, MOST_LINES).map(taskLine);
    if (tasks.length > MOST_LINES) lines.push(`  and ${tasks.length - MOST_LINES} more`);
    if (tasks.length > 1 || this.#finishedBytes > 0) lines.push(this.#totalLine(tasks, now));
    this.clear();
    if (lines.length === 0) return;
    this.#err.raw(`${lines.map((line) => Bun.sliceAnsi(line, 0, width - 1)).join("\n")}\n`);
    this.#drawnLines = lines.length;
  }

  #totalLine(tasks: readonly Task[], now: number): string {
    const seconds = Math.max(0.001, (now - this.#started) / 1000);
    const bytes = this.#finishedBytes + tasks.reduce((sum, t) => sum + t.bytes, 0);
    const rate = bytes / seconds;
    const left = tasks.reduce((sum, t) => sum + Math.max(0, (t.total ?? t.bytes) - t.bytes), 0);
    const eta = rate > 0 && left > 0 ? `, ${formatDuration(left / rate)} left` : "";
    return `total ${formatBytes(bytes)}, ${formatBytes(rate)}/s${eta}`;
  }
}

/** What moves comes first and keeps its place; the label is cut where the terminal ends. */
function taskLine(task: Task): string {
  if (task.total === undefined || task.total === 0) {
    return `${" ".repeat(BAR_WIDTH + 3)}${formatBytes(task.bytes).padStart(9)}               ${task.label}`;
  }
  const filled = Math.round(Math.min(1, task.bytes / task.total) * BAR_WIDTH);
  const bar = "━".repeat(filled) + " ".repeat(BAR_WIDTH - filled);
  return `[${bar}] ${formatBytes(task.bytes).padStart(9)} of ${formatBytes(task.total).padEnd(9)}  ${task.label}`;
}
