import type { ProgressEvent } from "../progress.ts";
import { formatBytes, formatDuration } from "./format-bytes.ts";
import { printable } from "./printable.ts";
import { RateWindow } from "./rate-window.ts";

export interface ProgressTask {
  readonly label: string;
  readonly total: number | undefined;
  /** Done by an earlier run. */
  readonly resumed: number;
  bytes: number;
  /** Announced, but nothing was done yet. */
  waiting: boolean;
}

/** All that is known about the running work, of tasks and together. */
export class ProgressState {
  /** The tasks that are not done, in the order in which they were announced. */
  readonly tasks = new Map<string, ProgressTask>();
  readonly #rate: RateWindow;
  #announcedBytes = 0;
  #plannedBytes = 0;
  /** How much more the finished tasks had than was said of them before. */
  #correction = 0;
  #finishedBytes = 0;
  #startedTasks = 0;
  #plannedTasks = 0;

  constructor(now: number) {
    this.#rate = new RateWindow(now);
  }

  /** @returns the task that a `start`, `advance` or `done` is about, as it was last. */
  apply(event: ProgressEvent, now: number): ProgressTask | undefined {
    switch (event.type) {
      case "plan":
        this.#plannedBytes += event.totalBytes;
        this.#plannedTasks += event.tasks;
        return undefined;
      case "start":
        return this.#start(event);
      case "advance":
        return this.#advance(event.id, event.bytes, now);
      case "done":
        return this.#done(event, now);
      case "message":
        return undefined;
    }
  }

  #start({ id, label, totalBytes, resumedBytes = 0 }: ProgressEvent & { type: "start" }): ProgressTask {
    const task: ProgressTask = {
      label: printable(label),
      total: totalBytes,
      resumed: resumedBytes,
      bytes: resumedBytes,
      waiting: totalBytes !== undefined,
    };
    const former = this.tasks.get(id)?.total;
    if (former !== undefined) {
      this.#announcedBytes -= former;
      this.#startedTasks--;
    }
    this.tasks.set(id, task);
    if (totalBytes !== undefined) {
      this.#announcedBytes += totalBytes;
      this.#startedTasks++;
    }
    return task;
  }

  #advance(id: string, bytes: number, now: number): ProgressTask | undefined {
    const task = this.tasks.get(id);
    if (task === undefined) return undefined;
    const done = Math.max(bytes, task.resumed);
    this.#rate.add(Math.max(0, done - task.bytes), now);
    task.bytes = done;
    task.waiting = false;
    return task;
  }

  #done({ id, label, bytes }: ProgressEvent & { type: "done" }, now: number): ProgressTask | undefined {
    const task = this.tasks.get(id);
    if (task === undefined) return undefined;
    this.tasks.delete(id);
    const all = bytes ?? task.total ?? task.bytes;
    if (label === undefined) this.#rate.add(Math.max(0, all - task.bytes), now);
    // What was announced must have been done in the end, or the sum could never be reached.
    this.#correction += all - (task.total ?? 0);
    this.#finishedBytes += all;
    return task;
  }

  /** Tasks of known size that have yet to start or to advance. */
  get waitingCount(): number {
    let waiting = Math.max(0, this.#plannedTasks - this.#startedTasks);
    for (const task of this.tasks.values()) if (task.waiting) waiting++;
    return waiting;
  }

  get doneBytes(): number {
    let bytes = this.#finishedBytes;
    for (const task of this.tasks.values()) bytes += task.bytes;
    return bytes;
  }

  /** Bytes of all that was planned or started; 0 when nothing is known about it. */
  get totalBytes(): number {
    return Math.max(this.#announcedBytes, this.#plannedBytes) + this.#correction;
  }

  /**
   * `12.0 MiB of 80.0 MiB (15%), 3.1 MiB/s, 22s left`
   * @param isShort begins with `15% of 80.0 MiB` instead.
   */
  summary(now: number, isShort = false): string {
    const done = this.doneBytes;
    const total = this.totalBytes;
    const amount = () => {
      if (total === 0) return formatBytes(done);
      const percent = percentage(done, total);
      return isShort
        ? `${percent} of ${formatBytes(total)}`
        : `${formatBytes(done)} of ${formatBytes(total)} (${percent})`;
    };
    const parts = [amount()];
    const rate = this.#rate.bytesPerSecond(now);
    if (rate !== undefined) {
      parts.push(`${formatBytes(Math.round(rate))}/s`);
      const left = total - done;
      if (left > 0) parts.push(rate > 0 ? `${formatDuration(left / rate)} left` : "stalled");
    }
    return parts.join(", ");
  }
}

/** Rounded down: 100% is said of what is done only. */
export function percentage(done: number, total: number): string {
  return `${Math.floor(Math.min(1, done / total) * 100)}%`;
}
