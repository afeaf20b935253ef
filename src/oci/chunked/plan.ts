import { CfsError } from "../../errors.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { ByteRange } from "../source.ts";
import type { TarPiece } from "./tar-split.ts";
import type { ChunkedFile } from "./toc.ts";

/** What a part of the tar is made of. */
export enum PartKind {
  /** Bytes of the local file as they are. */
  Plain,
  /** Bytes of the fetched ranges that are zstd frames. */
  Frames,
  /** An object of the repository. */
  Object,
}

/** The tar of a layer, put together from a local file and objects. Everything in it can be sent to other threads. */
export interface ChunkedPlan {
  /** Ranges of the blob to be fetched into the local file, one after the other, behind its first `plainLength` bytes. */
  readonly ranges: readonly ByteRange[];
  /** Bytes in front that don't come from the ranges. */
  readonly plainLength: number;
  /** Sum of the ranges' lengths. */
  readonly fetchLength: number;
  /** A kind, an offset and a length each. The offset of an object is its index in `objects`. */
  readonly parts: Float64Array<ArrayBuffer>;
  readonly objects: readonly ObjectId[];
}

/** Numbers of a part. */
export const PART_WIDTH = 3;
/** A gap of so many bytes costs less than another range. */
const LEAST_GAP = 256;

/** Finds out what is to be fetched, and how the tar is put together. */
export class ChunkedPlanner {
  readonly #files: readonly ChunkedFile[];
  readonly #objectOf: (file: number) => ObjectId | undefined;
  readonly #maxRanges: number;
  readonly #wanted: { readonly offset: number; readonly end: number }[] = [];
  readonly #parts: number[] = [];
  readonly #objects: ObjectId[] = [];
  #plainLength = 0;

  /**
   * @param files in the order of the blob.
   * @param objectOf the object with the content of a file, if the repository has it.
   * @param maxRanges what lies between the ranges is fetched as well when there would be more of them.
   */
  constructor(
    files: readonly ChunkedFile[],
    objectOf: (file: number) => ObjectId | undefined,
    maxRanges = Number.POSITIVE_INFINITY,
  ) {
    this.#files = files;
    this.#objectOf = objectOf;
    this.#maxRanges = maxRanges;
  }

  /** For blobs whose headers are only in their frames. @param tarEnd where these end. */
  fromFrames(tarEnd: number): ChunkedPlan {
    let at = 0;
    this.#files.forEach((file, index) => {
      const object = this.#objectOf(index);
      if (object === undefined) return;
      this.#addFrames(at, file.offset);
      this.#addObject(object, file.size);
      at = file.end;
    });
    this.#addFrames(at, tarEnd);
    return this.#finish();
  }

  /**
   * For blobs that say what is between the files.
   * @param pieces the bytes of these are, in this order, the start of the local file.
   * @throws CfsError Invalid when pieces and files don't fit together.
   */
  fromPieces(pieces: Iterable<TarPiece>): ChunkedPlan {
    let index = 0;
    for (const piece of pieces) {
      if (piece.kind === "bytes") {
        this.#add(PartKind.Plain, this.#plainLength, piece.bytes.length);
        this.#plainLength += piece.bytes.length;
        continue;
      }
      const file = this.#files[index];
      if (file === undefined || file.name !== piece.name || file.size !== piece.size)
        throw new CfsError("Invalid", `the table of contents has no place for ${piece.name}`);
      const object = this.#objectOf(index);
      if (object !== undefined) this.#addObject(object, file.size);
      else this.#addFrames(file.offset, file.end);
      index++;
    }
    return this.#finish();
  }

  #addObject(id: ObjectId, size: number): void {
    this.#add(PartKind.Object, this.#objects.length, size);
    this.#objects.push(id);
  }

  #addFrames(offset: number, end: number): void {
    if (end <= offset) return;
    this.#add(PartKind.Frames, offset, end - offset);
    this.#wanted.push({ offset, end });
  }

  #add(kind: PartKind, offset: number, length: number): void {
    const parts = this.#parts;
    const last = parts.length - PART_WIDTH;
    const continues =
      kind !== PartKind.Object && parts[last] === kind && parts[last + 1]! + parts[last + 2]! === offset;
    if (continues) parts[last + 2]! += length;
    else parts.push(kind, offset, length);
  }

  #finish(): ChunkedPlan {
    const ranges = joinRanges(this.#wanted, this.#maxRanges);
    const parts = Float64Array.from(this.#parts);
    let range = 0;
    let fetchLength = 0;
    // Until here, frames were where they are in the blob.
    for (let part = 0; part < parts.length; part += PART_WIDTH) {
      if (parts[part] !== PartKind.Frames) continue;
      const offset = parts[part + 1]!;
      while (offset >= ranges[range]!.offset + ranges[range]!.length) fetchLength += ranges[range++]!.length;
      parts[part + 1] = fetchLength + offset - ranges[range]!.offset;
    }
    for (; range < ranges.length; range++) fetchLength += ranges[range]!.length;
    return { ranges, plainLength: this.#plainLength, fetchLength, parts, objects: this.#objects };
  }
}

/** Joins ranges between which there is little, and as many more as it takes. */
function joinRanges(
  wanted: readonly { readonly offset: number; readonly end: number }[],
  max: number,
): ByteRange[] {
  const gaps = wanted.slice(1).map(({ offset }, i) => offset - wanted[i]!.end);
  const largest = gaps.toSorted((a, b) => b - a);
  const least = Math.max(LEAST_GAP, largest[max - 1] ?? 0);
  const ranges: { offset: number; length: number }[] = [];
  wanted.forEach(({ offset, end }, i) => {
    if (i > 0 && gaps[i - 1]! <= least) {
      const last = ranges.at(-1)!;
      last.length = end - last.offset;
    } else ranges.push({ offset, length: end - offset });
  });
  return ranges;
}
