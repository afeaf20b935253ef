import type { Progress } from "../progress.ts";

/** Shows progress in one of several ways. */
export interface ProgressPrinter extends Progress {
  /** Removes what should not stay on the screen. */
  finish(): void;
}
