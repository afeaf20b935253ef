/**
 * Follows the frame and block headers of Zstandard data (RFC 8878 §3.1) as it passes by, to tell whether it ends at
 * the end of a frame. It validates nothing else: that is the decoder's work.
 */
export class ZstdFrameScanner {
  #state:
    | "magic"
    | "skippable-size"
    | "descriptor"
    | "header-rest"
    | "block-header"
    | "block"
    | "checksum"
    | "skip" = "magic";
  /** Bytes to pass over before the next field. */
  #skip = 0;
  readonly #field = new Uint8Array(4);
  #fieldLength = 0;
  #hasChecksum = false;
  #lastBlock = false;

  /** True at the beginning and after each whole frame. */
  get complete(): boolean {
    return this.#state === "magic" && this.#fieldLength === 0 && this.#skip === 0;
  }

  scan(data: Uint8Array<ArrayBufferLike>, start: number, end: number): void {
    for (let at = start; at < end; ) at = this.scanFrame(data, at, end);
  }

  /** As `scan`, but stops at the end of a frame. @returns where it stopped; `end` when the frame goes on. */
  scanFrame(data: Uint8Array<ArrayBufferLike>, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, end - at);
        this.#skip -= step;
        at += step;
        if (this.#skip > 0) return at;
      }
      this.#settle();
      if (at > start && this.complete) return at;
      const needed = this.#fieldSize();
      while (this.#fieldLength < needed && at < end) this.#field[this.#fieldLength++] = data[at++]!;
      if (this.#fieldLength < needed) return at;
      this.#fieldLength = 0;
      this.#interpret();
    }
    if (this.#skip === 0) this.#settle();
    return at;
  }

  /** Leaves the states in which bytes were only passed over. */
  #settle(): void {
    if (this.#state === "skip" || this.#state === "checksum") this.#state = "magic";
    else if (this.#state === "header-rest") this.#state = "block-header";
    else if (this.#state === "block") {
      if (!this.#lastBlock) this.#state = "block-header";
      else if (this.#hasChecksum) {
        this.#state = "checksum";
        this.#skip = 4;
      } else this.#state = "magic";
    }
  }

  #fieldSize(): number {
    switch (this.#state) {
      case "magic":
      case "skippable-size":
        return 4;
      case "block-header":
        return 3;
      case "descriptor":
        return 1;
      default:
        return 0;
    }
  }

  #interpret(): void {
    const field = this.#field;
    const value = (field[0]! | (field[1]! << 8) | (field[2]! << 16) | (field[3]! << 24)) >>> 0;
    switch (this.#state) {
      case "magic":
        this.#state = value >>> 4 === 0x184d2a5 ? "skippable-size" : "descriptor";
        break;
      case "skippable-size":
        this.#state = "skip";
        this.#skip = value;
        break;
      case "descriptor": {
        const descriptor = field[0]!;
        const singleSegment = (descriptor & 0x20) !== 0;
        const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
        const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
        this.#hasChecksum = (descriptor & 4) !== 0;
        this.#skip = (singleSegment ? 0 : 1) + dictionaryBytes + sizeBytes;
        this.#state = "header-rest";
        break;
      }
      case "block-header": {
        const header = value & 0xffffff;
        this.#lastBlock = (header & 1) !== 0;
        const isRle = ((header >> 1) & 3) === 1;
        this.#skip = isRle ? 1 : header >> 3;
        this.#state = "block";
        break;
      }
    }
  }
}
