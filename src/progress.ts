/** What a long operation tells about itself. Libraries emit these; how they look is the command line's concern. */
export type ProgressEvent =
  /** Work on `id` began; the size is known or not. */
  | { readonly type: "start"; readonly id: string; readonly label: string; readonly totalBytes?: number }
  /** `bytes` of `id` are done so far: an absolute count, not a difference. */
  | { readonly type: "advance"; readonly id: string; readonly bytes: number }
  /** `id` is finished; `label` may say how (`already present`). */
  | { readonly type: "done"; readonly id: string; readonly label?: string; readonly bytes?: number }
  /** One sentence for people. */
  | { readonly type: "message"; readonly text: string };

export interface Progress {
  event(event: ProgressEvent): void;
}

/** For callers that don't want to hear anything. */
export const silentProgress: Progress = { event() {} };
