/** Time as printers of progress need it. */
export interface ProgressClock {
  /** Milliseconds, never going back. */
  now(): number;
  /** Calls `tick` again and again until the returned function is called; does not keep the program alive. */
  every(milliseconds: number, tick: () => void): () => void;
}

export const systemClock: ProgressClock = {
  now: () => performance.now(),
  every(milliseconds, tick) {
    const timer = setInterval(tick, milliseconds);
    timer.unref();
    return () => clearInterval(timer);
  },
};
