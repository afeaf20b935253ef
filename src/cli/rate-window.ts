/** How far back is looked, in milliseconds: long enough to be calm, short enough to notice a change. */
const WINDOW = 10_000;
/** Bytes that come within this time are one sample, which bounds how many there are. */
const SAMPLE = 250;
/** A rate of less time than this would be a guess. */
const LEAST = 1000;

/** Bytes a second in the last seconds. */
export class RateWindow {
  /** When the measurement began: what is older than the window doesn't count. */
  #since: number;
  #samples: { at: number; bytes: number }[] = [];

  /** @param now milliseconds, as for all methods. */
  constructor(now: number) {
    this.#since = now;
  }

  add(bytes: number, now: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && now - last.at < SAMPLE) last.bytes += bytes;
    else this.#samples.push({ at: now, bytes });
    this.#forget(now);
  }

  /** undefined as long as it can't be told. */
  bytesPerSecond(now: number): number | undefined {
    this.#forget(now);
    const duration = now - this.#since;
    if (duration < LEAST) return undefined;
    return this.#samples.reduce((sum, { bytes }) => sum + bytes, 0) / (duration / 1000);
  }

  #forget(now: number): void {
    this.#since = Math.max(this.#since, now - WINDOW);
    while (this.#samples.length > 0 && this.#samples[0]!.at < this.#since) this.#samples.shift();
  }
}
