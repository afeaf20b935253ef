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
const MAX_GAP = 256;

/** Finds out what is to be fetched, and how the tar is put together. */
export class ChunkedPlanner {
  readonly #files: readonly ChunkedFile[];
  readonly #objectOf: (file: number) => ObjectId | undefined;
  readonly #ranges: { offset: number; length: number }[] = [];
  #fetchLength = 0;
  readonly #parts: number[] = [];
  readonly #objects: ObjectId[] = [];
  #plainLength = 0;

  /**
   * @param files in the order of the blob.
   * @param objectOf the object with the content of a file, if the repository has it.
   */
  constructor(files: readonly ChunkedFile[], objectOf: (file: number) => ObjectId | undefined) {
    this.#files = files;
    this.#objectOf = objectOf;
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
    const last = this.#ranges.at(-1);
    const gap = last === undefined ? Number.POSITIVE_INFINITY : offset - (last.offset + last.length);
    if (last !== undefined && gap >= 0 && gap <= MAX_GAP) {
      last.length += gap;
      this.#fetchLength += gap;
    } else this.#ranges.push({ offset, length: 0 });
    const range = this.#ranges.at(-1)!;
    this.#add(PartKind.Frames, this.#fetchLength, end - offset);
    range.length += end - offset;
    this.#fetchLength += end - offset;
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
    return {
      ranges: this.#ranges,
      plainLength: this.#plainLength,
      fetchLength: this.#fetchLength,
      parts: Float64Array.from(this.#parts),
      objects: this.#objects,
    };
  }
}
