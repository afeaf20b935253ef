/** Something that a repair has done. */
export interface Action {
  /**
   * `restored`: fetched from another copy. `linked`, `made`: from what is in the repository. `pulled`: an image or commit
   * was pulled again. `dropped`: a link that leads nowhere was removed. `moved`: something that does not belong there is
   * in `lost+found` now.
   */
  readonly what: "restored" | "linked" | "made" | "pulled" | "dropped" | "moved";
  /** What was repaired or taken away: a path below the repository, or a digest, for people. */
  readonly path: string;
  /** Where it is from, where it led, or where it is now. */
  readonly where?: string | undefined;
}
