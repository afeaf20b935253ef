/** Operations of the parts of a static delta, as `OstreeStaticDeltaOpCode` in libostree. */
export const OPERATIONS = {
  /** `S`: an object that is in the data as a whole. */
  wholeObject: 0x53,
  /** `o`: begins a file. */
  open: 0x6f,
  /** `w`: appends a piece of the read source, or of the data when there is none. */
  write: 0x77,
  /** `r`: the content of a file of the old commit becomes the read source. */
  setSource: 0x72,
  /** `R`: no read source any more. */
  unsetSource: 0x52,
  /** `B`: appends what a patch makes of the read source. */
  bspatch: 0x42,
  /** `c`: ends the file. */
  close: 0x63,
} as const;
