import type { Progress } from "../progress.ts";

const REPORT_INTERVAL_MS = 100;

/** A task of which it is told now and then how many bytes are done. */
export class AmountTask implements Disposable {
  readonly #progress: Progress;
  readonly #id: string;
  #bytes = 0;
  #lastReport = performance.now();

  constructor(progress: Progress, id: string, label: string, totalBytes?: number) {
    this.#progress = progress;
    this.#id = id;
    progress.event({ type: "start", id, label, ...(totalBytes !== undefined && { totalBytes }) });
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    const now = performance.now();
    if (now - this.#lastReport < REPORT_INTERVAL_MS) return;
    this.#lastReport = now;
    this.#progress.event({ type: "advance", id: this.#id, bytes: this.#bytes });
  }

  [Symbol.dispose](): void {
    this.#progress.event({ type: "done", id: this.#id, bytes: this.#bytes });
  }
}
