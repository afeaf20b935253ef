/** What a long operation tells about itself. Libraries emit these; how they look is the command line's concern. */
export type ProgressEvent =
  /**
   * So many tasks of known size are going to start, and so many bytes they have together. Comes before them where not
   * all can be started at once, so that the total is right from the start; several plans add up.
   */
  | { readonly type: "plan"; readonly tasks: number; readonly totalBytes: number }
  /**
   * Work on `id` was announced; the size is known or not. One of known size waits for its turn until it first advances.
   * `resumedBytes` of it were done by an earlier run: they count as done, but neither they nor reading them again is
   * work of this one. A task that has to begin from nothing after all is announced once more.
   */
  | {
      readonly type: "start";
      readonly id: string;
      readonly label: string;
      readonly totalBytes?: number;
      readonly resumedBytes?: number;
    }
  /**
   * `bytes` of `id` are done so far: an absolute count, not a difference, which begins anew when the work does. It may
   * pass through what was resumed.
   */
  | { readonly type: "advance"; readonly id: string; readonly bytes: number }
  /** `id` is finished; a `label` says how, when it was not by working through its bytes (`already present`). */
  | { readonly type: "done"; readonly id: string; readonly label?: string; readonly bytes?: number }
  /** One sentence for people. */
  | { readonly type: "message"; readonly text: string };

export interface Progress {
  event(event: ProgressEvent): void;
}

/** For callers that don't want to hear anything. */
export const silentProgress: Progress = { event() {} };
