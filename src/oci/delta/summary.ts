import { type Decompressor, decompressor } from "../../compress/sync.ts";
import { frameContentSize, MAX_FRAME_HEADER } from "../../compress/zstd-header.ts";
import { CfsError } from "../../errors.ts";
import { MAGIC_SIZE, Op, type TarDiffVersion, tarDiffVersion } from "./format.ts";
import { type TarDiffOperation, TarDiffParser } from "./tar-diff-parser.ts";

/** Of what a tar-diff makes a layer. */
export interface TarDiffSummary {
  readonly version: TarDiffVersion;
  /** Bytes of the operations, once they are decompressed. */
  readonly operationBytes: number;
  /** How many operations of each kind there are. */
  readonly operations: Readonly<Record<keyof typeof Op, number>>;
  /** Bytes of the layer that are taken from files of the source image as they are. */
  readonly copied: number;
  /**
   * Bytes that are made of such files by changing some; of patches that zstd made and that don't tell how large they
   * are unpacked, the size as they are.
   */
  readonly patched: number;
  /** Bytes that come with the delta. */
  readonly added: number;
}

const WINDOW = 128 * 1024;

/** Reads a tar-diff, piece by piece, to tell what is in it. */
export class TarDiffReader {
  readonly #decoder: Decompressor = decompressor("zstd");
  readonly #magic = new Uint8Array(MAGIC_SIZE);
  #magicLength = 0;
  #parser: TarDiffParser | undefined;
  #version: TarDiffVersion = 1;
  readonly #window = new Uint8Array(WINDOW);
  #end = 0;
  /** Bytes of a payload that are still to come. */
  #payload = 0;
  /** A frame has been named, of which the header is not here yet. */
  #awaitsFrame = false;
  readonly #operations = { Data: 0, Open: 0, Copy: 0, AddData: 0, Seek: 0, ZstdDict: 0 };
  #operationBytes = 0;
  #copied = 0;
  #patched = 0;
  #added = 0;

  /** @throws CfsError Corrupt */
  add(piece: Uint8Array<ArrayBufferLike>): void {
    let at = 0;
    while (this.#magicLength < MAGIC_SIZE && at < piece.length)
      this.#magic[this.#magicLength++] = piece[at++]!;
    if (this.#magicLength < MAGIC_SIZE) return;
    this.#begin();
    for (;;) {
      this.#decoder.step(piece, at, piece.length, this.#window, this.#end, WINDOW);
      at += this.#decoder.consumed;
      this.#end += this.#decoder.produced;
      this.#operationBytes += this.#decoder.produced;
      if (this.#decoder.consumed === 0 && this.#decoder.produced === 0) {
        if (at < piece.length) throw new CfsError("Corrupt", "garbage in the compressed data");
        return;
      }
      this.#walk(false);
    }
  }

  /** To be called when all was given. @throws CfsError Corrupt */
  finish(): TarDiffSummary {
    if (this.#parser === undefined) throw new CfsError("Corrupt", "this is no tar-diff: it is too short");
    this.#decoder.finish();
    this.#walk(true);
    return {
      version: this.#version,
      operationBytes: this.#operationBytes,
      operations: this.#operations,
      copied: this.#copied,
      patched: this.#patched,
      added: this.#added,
    };
  }

  close(): void {
    this.#decoder.close();
  }

  #begin(): void {
    if (this.#parser !== undefined) return;
    const version = tarDiffVersion(this.#magic);
    if (version === undefined)
      throw new CfsError("Corrupt", "this is no tar-diff: it does not begin like one");
    this.#version = version;
    this.#parser = new TarDiffParser(version);
  }

  #walk(atEnd: boolean): void {
    const window = this.#window;
    let at = 0;
    for (;;) {
      if (this.#awaitsFrame) {
        const head = Math.min(MAX_FRAME_HEADER, this.#payload);
        if (this.#end - at < head && !atEnd) break;
        this.#patched +=
          frameContentSize(window.subarray(at, Math.min(this.#end, at + head))) ?? this.#payload;
        this.#awaitsFrame = false;
      }
      const passed = Math.min(this.#payload, this.#end - at);
      at += passed;
      this.#payload -= passed;
      if (this.#payload > 0) break;
      const step = this.#parser!.step(window, at, this.#end, atEnd);
      if (step.kind !== "operation") break;
      at += step.length;
      this.#count(step.operation);
    }
    window.copyWithin(0, at, this.#end);
    this.#end -= at;
  }

  #count(operation: TarDiffOperation): void {
    this.#operations[nameOf(operation)]++;
    if (operation.op === Op.Open) return;
    const { op, size } = operation;
    if (op === Op.Copy) this.#copied += size;
    if (op === Op.AddData) this.#patched += size;
    if (op === Op.Data) this.#added += size;
    if (op === Op.ZstdDict) this.#awaitsFrame = true;
    if (op === Op.Data || op === Op.AddData || op === Op.ZstdDict) this.#payload = size;
  }
}

function nameOf({ op }: TarDiffOperation): keyof typeof Op {
  switch (op) {
    case Op.Data:
      return "Data";
    case Op.Open:
      return "Open";
    case Op.Copy:
      return "Copy";
    case Op.AddData:
      return "AddData";
    case Op.Seek:
      return "Seek";
    case Op.ZstdDict:
      return "ZstdDict";
  }
}
