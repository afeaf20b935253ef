import { type Decompressor, decompressor } from "../../compress/sync.ts";
import { CfsError } from "../../errors.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import type { Fd } from "../../sys/fd.ts";
import { pread } from "../../sys/file.ts";
import { type ChunkedPlan, PART_WIDTH, PartKind } from "../chunked/plan.ts";
import type { OciDigest } from "../digest.ts";
import type { LayerInput } from "./layer-input.ts";
import { PlainHash } from "./plain-hash.ts";

const INPUT_STEP = 64 * 1024;

/** Puts a layer together from what was fetched of it and from objects of the repository. */
export class ChunkedInput implements LayerInput {
  readonly #plan: ChunkedPlan;
  readonly #fd: number;
  readonly #store: ObjectStore;
  readonly #waitForMore: (than: number) => number;
  readonly plain: PlainHash;
  readonly #decoder: Decompressor = decompressor("zstd");
  readonly #input = new Uint8Array(INPUT_STEP);
  #inputAt = 0;
  #inputEnd = 0;
  #part = 0;
  /** Bytes of the present part that were read. */
  #position = 0;
  #object: Fd | undefined;
  consumed = 0;

  /**
   * @param fd the local file of the plan.
   * @param waitForMore waits until the file has more than so many bytes, and tells how many.
   * @param id the diff ID.
   */
  constructor(
    plan: ChunkedPlan,
    fd: number,
    store: ObjectStore,
    waitForMore: (than: number) => number,
    id: OciDigest,
  ) {
    this.#plan = plan;
    this.#fd = fd;
    this.#store = store;
    this.#waitForMore = waitForMore;
    this.plain = new PlainHash(id);
  }

  fill(target: Uint8Array<ArrayBufferLike>, start: number, end: number): number {
    let at = start;
    const { parts } = this.#plan;
    while (at < end && this.#part < parts.length) {
      const kind = parts[this.#part]! as PartKind;
      const offset = parts[this.#part + 1]!;
      const length = parts[this.#part + 2]!;
      switch (kind) {
        case PartKind.Plain:
          at = this.#copy(this.#fd, offset, length, target, at, end);
          break;
        case PartKind.Object:
          this.#object ??= this.#store.open(this.#plan.objects[offset]!);
          at = this.#copy(this.#object.fd, 0, length, target, at, end);
          break;
        case PartKind.Frames:
          at = this.#decode(offset, length, target, at, end);
          break;
      }
    }
    if (at > start) this.plain.update(target.subarray(start, at));
    return at;
  }

  finish(): string {
    this.#decoder.finish();
    return this.plain.digest();
  }

  close(): void {
    this.#object?.close();
    this.#decoder.close();
  }

  #copy(
    fd: number,
    offset: number,
    length: number,
    target: Uint8Array<ArrayBufferLike>,
    at: number,
    end: number,
  ): number {
    const wanted = Math.min(end - at, length - this.#position);
    const found = pread(fd, target.subarray(at, at + wanted), offset + this.#position);
    if (found !== wanted) throw new CfsError("Corrupt", "a file that the layer is made of is too short");
    this.#position += wanted;
    if (this.#position === length) this.#nextPart();
    return at + wanted;
  }

  #decode(
    offset: number,
    length: number,
    target: Uint8Array<ArrayBufferLike>,
    at: number,
    end: number,
  ): number {
    if (this.#inputAt === this.#inputEnd && this.#position < length) this.#readMore(offset, length);
    this.#decoder.step(this.#input, this.#inputAt, this.#inputEnd, target, at, end);
    const { consumed, produced } = this.#decoder;
    this.#inputAt += consumed;
    const isUsedUp = this.#inputAt === this.#inputEnd;
    if (consumed === 0 && produced === 0 && !isUsedUp)
      throw new CfsError("Corrupt", "garbage in the compressed data");
    if (isUsedUp && this.#position === length && at + produced < end) this.#nextPart();
    return at + produced;
  }

  #readMore(offset: number, length: number): void {
    const from = this.#plan.plainLength + offset + this.#position;
    const there = this.#waitForMore(from) - from;
    const wanted = Math.min(INPUT_STEP, length - this.#position, there);
    const found = pread(this.#fd, this.#input.subarray(0, wanted), from);
    if (found !== wanted) throw new CfsError("Corrupt", "the layer's local file is too short");
    this.#inputAt = 0;
    this.#inputEnd = wanted;
    this.#position += wanted;
    this.consumed += wanted;
  }

  #nextPart(): void {
    this.#object?.close();
    this.#object = undefined;
    this.#part += PART_WIDTH;
    this.#position = 0;
  }
}
