import type { Progress } from "../progress.ts";

const INTERVAL_MS = 100;

/** What of an image is under way, for the user to see. */
export interface ProgressTask {
  readonly id: string;
  readonly label: string;
  /** Bytes. */
  readonly size: number;
}

/** Turns counters that threads write into progress events, until it is disposed of. */
export class SharedProgress implements Disposable {
  /** One number a task: bytes done. */
  readonly shared: SharedArrayBuffer;
  readonly #counters: Float64Array;
  readonly #reported: Float64Array;
  readonly #tasks: readonly ProgressTask[];
  readonly #progress: Progress;
  readonly #timer: NodeJS.Timeout;

  constructor(tasks: readonly ProgressTask[], progress: Progress) {
    this.#tasks = tasks;
    this.#progress = progress;
    this.shared = new SharedArrayBuffer(tasks.length * Float64Array.BYTES_PER_ELEMENT);
    this.#counters = new Float64Array(this.shared);
    this.#reported = new Float64Array(tasks.length);
    for (const { id, label, size } of tasks) progress.event({ type: "start", id, label, totalBytes: size });
    this.#timer = setInterval(() => this.#report(), INTERVAL_MS);
  }

  /** @param label how it was done, when not by working through its bytes. */
  done(index: number, label?: string): void {
    const { id, size } = this.#tasks[index]!;
    this.#reported[index] = Number.POSITIVE_INFINITY;
    this.#progress.event({ type: "done", id, bytes: size, ...(label !== undefined && { label }) });
  }

  #report(): void {
    for (const [index, { id }] of this.#tasks.entries()) {
      const bytes = this.#counters[index]!;
      if (bytes <= this.#reported[index]!) continue;
      this.#reported[index] = bytes;
      this.#progress.event({ type: "advance", id, bytes });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
