import type { Progress } from "../progress.ts";
import type { HashName } from "../verity/digest.ts";
import type { MessageOutput, Output } from "./output.ts";

export type ProgressMode = "auto" | "plain" | "json" | "none";

/** Options that stand before or after any command. */
export interface Globals {
  /** At most one of these three is set. */
  readonly repo?: string;
  readonly user?: boolean;
  readonly system?: boolean;
  readonly hash?: HashName;
  readonly erofsVersion?: 0 | 1 | 2;
  readonly insecure: boolean;
  readonly requireVerity: boolean;
  readonly noUpgrade: boolean;
  readonly noRepo: boolean;
  /** From `--jobs` or CFSCTL_JOBS; undefined leaves the choice to the work. */
  readonly jobs?: number;
  readonly progress: ProgressMode;
  readonly debug: boolean;
}

/** What every command is handed. Commands write through `out` and `err` only. */
export interface Context {
  readonly globals: Globals;
  /** stdout */
  readonly out: Output;
  /** stderr, for people */
  readonly err: MessageOutput;
  readonly progress: Progress;
}
