import type { ObjectId } from "../../verity/digest.ts";
import type { PlainHash } from "./plain-hash.ts";

/** The plain tar of a layer, wherever it comes from. */
export interface LayerInput {
  /** Transported bytes that were read so far. */
  readonly consumed: number;
  readonly plain: PlainHash;
  /** Fills `target[start, end)` with plain bytes. @returns the new end of the data; less than `end` when it is at its end. */
  fill(target: Uint8Array<ArrayBufferLike>, start: number, end: number): number;
  /**
   * The object that holds `size` bytes of the tar from `offset` on, where it is known without looking at them. To be
   * asked about what was filled in at least in part, with ascending offsets.
   */
  objectAt?(offset: number, size: number): ObjectId | undefined;
  /**
   * To be called after `fill` came to the end.
   * @returns the hash of the plain bytes, in hex.
   * @throws CfsError Corrupt when something that was read is not what it should be.
   */
  finish(): string;
  close(): void;
}
