/** Milliseconds of work that a small file makes here: while a reply travels, others keep this side busy. */
const WORK_PER_FILE = 0.25;
const MIN = 16;
const MAX = 48;

/** How many objects of a kind to have under way: the more, the longer a reply takes at best. */
export class Concurrency {
  /** Time from a request to its reply, in milliseconds, of the fastest one so far: later ones wait for this side, too. */
  #fastest = Number.POSITIVE_INFINITY;

  get limit(): number {
    if (this.#fastest === Number.POSITIVE_INFINITY) return MIN;
    return Math.min(Math.max(Math.ceil(this.#fastest / WORK_PER_FILE), MIN), MAX);
  }

  /** Tells of a reply. @param ms since its request. */
  replied(ms: number): void {
    this.#fastest = Math.min(this.#fastest, ms);
  }
}
