import type { ProgressEvent } from "../progress.ts";
import { formatBytes } from "./format-bytes.ts";
import type { MessageOutput, Overlay } from "./output.ts";
import { printable } from "./printable.ts";
import { type ProgressClock, systemClock } from "./progress-clock.ts";
import type { ProgressPrinter } from "./progress-printer.ts";
import { ProgressState, type ProgressTask, percentage } from "./progress-state.ts";

/** Least time between two drawings because of events, in milliseconds. */
const REDRAW_EVERY = 100;
/** Without events it is drawn this often: the rate falls when nothing comes, and the terminal may have been resized. */
const TICK_EVERY = 500;
const MOST_LINES = 8;
const BAR_WIDTH = 20;
/** Columns below which there is no room for a bar, and for more than a percentage. */
const ROOM_FOR_BAR = 72;
const ROOM_FOR_BYTES = 48;

/**
 * A line for each running task and one for all of them, redrawn in place. The cursor always rests at the start of
 * the line below and is never hidden, so that an interrupt at any moment leaves the terminal as it should be. No
 * colours are used.
 */
export class TerminalProgress implements ProgressPrinter, Overlay {
  readonly #err: MessageOutput;
  readonly #clock: ProgressClock;
  readonly #state: ProgressState;
  readonly #stopTicking: () => void;
  /** Widths of the lines that are on the screen, in columns. */
  #drawn: number[] = [];
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(err: MessageOutput, clock: ProgressClock = systemClock) {
    this.#err = err;
    this.#clock = clock;
    this.#state = new ProgressState(clock.now());
    this.#stopTicking = clock.every(TICK_EVERY, () => this.#draw());
    err.overlay = this;
  }

  event(event: ProgressEvent): void {
    const now = this.#clock.now();
    const task = this.#state.apply(event, now);
    if (event.type === "done") {
      this.#err.line(`${task?.label ?? printable(event.id)}: ${printable(event.label ?? "done")}`);
    } else if (event.type === "message") this.#err.line(printable(event.text));
    // Tasks are announced together: the total is right when all have been.
    if (event.type === "start" || event.type === "plan") return;
    // Above a new message, the bars are gone: they come back at once.
    if (this.#drawn.length === 0 || now - this.#drawnAt >= REDRAW_EVERY) this.#draw();
  }

  clear(): void {
    if (this.#drawn.length === 0) return;
    // A terminal that became narrower since has broken the lines.
    const columns = this.#err.columns;
    const rows = this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns)), 0);
    this.#err.raw(`\x1b[${rows}A\x1b[J`);
    this.#drawn = [];
  }

  finish(): void {
    this.#stopTicking();
    this.clear();
    this.#state.tasks.clear();
    this.#err.overlay = undefined;
  }

  #draw(): void {
    const now = this.#clock.now();
    this.#drawnAt = now;
    const { columns, rows } = this.#err;
    this.clear();
    // What scrolled out of the screen could not be removed again.
    const most = Math.max(1, Math.min(MOST_LINES + 1, rows - 1));
    const lines = this.#lines(now, columns, most).map((line) => cut(line, columns - 1));
    if (lines.length === 0) return;
    this.#err.raw(`${lines.join("\n")}\n`);
    this.#drawn = lines.map((line) => Bun.stringWidth(line));
  }

  #lines(now: number, columns: number, most: number): string[] {
    const state = this.#state;
    if (state.tasks.size === 0) return [];
    const running = [...state.tasks.values()].filter(({ waiting }) => !waiting);
    const shown = running.slice(0, most - 1).map((task) => taskLine(task, columns));
    const more = running.length - shown.length;
    const others = [...(more > 0 ? [`${more} more`] : []), ...waitingText(state.waitingCount)];
    const rest = others.length === 0 ? "" : `, and ${others.join(", ")}`;
    // Of unknown size, and alone: there is no sum.
    if (running.length === 1 && state.totalBytes === 0 && rest === "") return shown;
    return [...shown, `total ${state.summary(now, columns < ROOM_FOR_BAR)}${rest}`];
  }
}

/** The beginning of a line that has room in so many columns. */
function cut(line: string, columns: number): string {
  const slice = Bun.sliceAnsi(line, 0, columns);
  // A wide character that begins in the last column is still in the slice.
  return Bun.stringWidth(slice) <= columns ? slice : Bun.sliceAnsi(line, 0, columns - 1);
}

function waitingText(count: number): string[] {
  return count === 0 ? [] : [`${count} waiting`];
}

/** What moves comes first and keeps its place; the label is cut where the terminal ends. */
function taskLine({ total, bytes, label }: ProgressTask, columns: number): string {
  if (total === undefined || total === 0) {
    if (columns < ROOM_FOR_BAR) return `${formatBytes(bytes).padStart(9)}  ${label}`;
    return `${" ".repeat(BAR_WIDTH + 3)}${formatBytes(bytes).padStart(9)}               ${label}`;
  }
  const amount = `${formatBytes(bytes).padStart(9)} of ${formatBytes(total).padEnd(9)}`;
  if (columns < ROOM_FOR_BYTES) return `${percentage(bytes, total).padStart(4)}  ${label}`;
  if (columns < ROOM_FOR_BAR) return `${amount}  ${label}`;
  const filled = Math.round(Math.min(1, bytes / total) * BAR_WIDTH);
  const bar = "━".repeat(filled) + " ".repeat(BAR_WIDTH - filled);
  return `[${bar}] ${amount}  ${label}`;
}
