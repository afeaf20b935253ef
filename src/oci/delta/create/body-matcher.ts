import { BlockIndex, type BlockIndexMemory } from "../../../similarity/block-index.ts";
import { type Stretch, StretchFinder } from "../../../similarity/stretches.ts";
import type { ObjectReader } from "./object-reader.ts";
import type { ReusableFile } from "./reusable-files.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/** Larger files are not held in memory as a whole. */
export const MAX_WHOLE = 32 * 1024 * 1024;
/** Of a larger file, so much around what is known to be the same is looked at. */
const MAX_REGION = 8 * 1024 * 1024;
/** A file is worth a closer look when it has this share of what is looked for, as whole blocks. */
const MIN_SHARE = 0.05;
/** With so much of a body found in the file that has its name, no other one is looked for. */
const FAIR_SHARE = 0.25;
/** Looking at all of a file takes too long for a body that is so many times smaller. */
export const MAX_RATIO = 16;
const COMPARE_SIZE = 64 * 1024;
const MIN_GAP = 32;

/** A piece of a body, and the piece of a source file that it is made of. */
export interface Piece {
  readonly newStart: number;
  /** Bytes. */
  readonly length: number;
  /** Number of the source file. */
  readonly file: number;
  readonly oldStart: number;
  /** The bytes there; undefined when all of them are the same. */
  readonly old: Bytes | undefined;
}

/** Finds out of which pieces of the source image the body of a file can be made. */
export class BodyMatcher {
  readonly #files: readonly ReusableFile[];
  readonly #reader: ObjectReader;
  readonly #index: BlockIndex;
  /** The file that was compared last: the windows of a large body are compared with the same one. */
  #whole: { readonly file: number; readonly bytes: Bytes; readonly finder: StretchFinder } | undefined;

  constructor(files: readonly ReusableFile[], reader: ObjectReader, index: BlockIndexMemory) {
    this.#files = files;
    this.#reader = reader;
    this.#index = new BlockIndex(index);
  }

  /**
   * @param similar the file that the body is probably like.
   * @returns in the order of the body, without overlaps.
   */
  match(young: Bytes, similar: number | undefined): Piece[] {
    if (similar !== undefined && this.#files[similar]!.size > MAX_WHOLE)
      return this.#refined(young, this.#withBlocks(young, []));
    const pieces = similar === undefined ? [] : this.#alike(young, similar);
    if (covered(pieces) >= young.length * FAIR_SHARE) return this.#withBlocks(young, pieces);
    // A name says little about what is in a file: there may be one that has more of it.
    const other = this.#mostAlike(young);
    const better = other === undefined || other === similar ? [] : this.#alike(young, other);
    const best = covered(better) > covered(pieces) ? better : pieces;
    if (best.length > 0) return this.#withBlocks(young, best);
    return this.#refined(young, this.#withBlocks(young, []));
  }

  /** Gives back the memory for the file that was compared last. */
  forget(): void {
    this.#whole = undefined;
  }

  /** The whole file as it was compared last. */
  wholeFile(file: number): Bytes | undefined {
    return this.#whole?.file === file ? this.#whole.bytes : undefined;
  }

  /** The file that has the most of the bytes as whole blocks, and not many times as many others. */
  #mostAlike(young: Bytes): number | undefined {
    const { block } = this.#index;
    const limit = Math.min(MAX_WHOLE, young.length * MAX_RATIO);
    const shares = new Map<number, number>();
    this.#index.search(young, 0, young.length, (at, { file }) => {
      if (this.#files[file]!.size <= limit) shares.set(file, (shares.get(file) ?? 0) + block);
      return at + block;
    });
    let best: number | undefined;
    let most = young.length * MIN_SHARE;
    for (const [file, share] of shares) {
      if (share <= most) continue;
      most = share;
      best = file;
    }
    return best;
  }

  #alike(young: Bytes, file: number): Piece[] {
    if (this.#whole?.file !== file) {
      const bytes = new Uint8Array(this.#files[file]!.size);
      this.#reader.read(this.#files[file]!.id, 0, bytes);
      this.#whole = { file, bytes, finder: new StretchFinder(bytes) };
    }
    const { bytes, finder } = this.#whole;
    return finder.find(young).map((stretch) => pieceOf(stretch, file, bytes, 0, 0));
  }

  /** Looks for what no piece covers in all files. */
  #withBlocks(young: Bytes, pieces: readonly Piece[]): Piece[] {
    const { block } = this.#index;
    const all: Piece[] = [];
    let at = 0;
    const fill = (end: number) => {
      if (end - at < block) return;
      this.#index.search(young, at, end, (place, found) => {
        const piece = this.#extended(young, place, found.file, found.offset, at, end);
        if (piece === undefined) return place + 1;
        all.push(piece);
        at = piece.newStart + piece.length;
        return at;
      });
    };
    for (const piece of pieces) {
      fill(piece.newStart);
      all.push(piece);
      at = piece.newStart + piece.length;
    }
    fill(young.length);
    return all;
  }

  /** The whole piece that is the same, to both sides of a block that probably is; undefined when it is not. */
  #extended(
    young: Bytes,
    newAt: number,
    file: number,
    oldAt: number,
    start: number,
    end: number,
  ): Piece | undefined {
    const { id, size } = this.#files[file]!;
    const buffer = this.#buffer;
    let length = 0;
    for (;;) {
      const limit = Math.min(COMPARE_SIZE, size - oldAt - length, end - newAt - length);
      const piece = buffer.subarray(0, limit);
      this.#reader.read(id, oldAt + length, piece);
      const same = equalLength(piece, young.subarray(newAt + length, newAt + length + limit));
      length += same;
      if (same < limit || limit < COMPARE_SIZE) break;
    }
    if (length < this.#index.block) return undefined;
    const before = Math.min(newAt - start, oldAt, this.#index.block);
    this.#reader.read(id, oldAt - before, buffer.subarray(0, before));
    let back = 0;
    while (back < before && buffer[before - back - 1] === young[newAt - back - 1]) back++;
    return { newStart: newAt - back, length: length + back, file, oldStart: oldAt - back, old: undefined };
  }

  readonly #buffer = new Uint8Array(COMPARE_SIZE);

  /** Looks closer between pieces of the same file, where only a part of a large file has changed. */
  #refined(young: Bytes, pieces: readonly Piece[]): Piece[] {
    const all: Piece[] = [];
    let at = 0;
    const refine = (end: number, left: Piece | undefined, right: Piece | undefined) => {
      if (end - at < MIN_GAP) return;
      const length = end - at;
      const file = left?.file ?? right?.file;
      if (file === undefined) return;
      const margin = Math.min(COMPARE_SIZE, 4 * length + 1024);
      const from = left === undefined ? right!.oldStart - length : left.oldStart + left.length;
      const to = right?.file === file ? right.oldStart : from + length;
      const { id, size } = this.#files[file]!;
      const start = Math.max(0, Math.min(from, to) - margin);
      const stop = Math.min(size, Math.max(from + length, to) + margin, start + MAX_REGION);
      if (stop <= start) return;
      const region = new Uint8Array(stop - start);
      this.#reader.read(id, start, region);
      const stretches = new StretchFinder(region).find(young.subarray(at, end));
      for (const stretch of stretches) all.push(pieceOf(stretch, file, region, at, start));
    };
    for (const [i, piece] of pieces.entries()) {
      refine(piece.newStart, pieces[i - 1], piece);
      all.push(piece);
      at = piece.newStart + piece.length;
    }
    refine(young.length, pieces.at(-1), undefined);
    return all;
  }
}

/** @param newOffset where the new bytes begin in the body. @param oldOffset where the old ones do in the file. */
function pieceOf(
  { newStart, oldStart, length }: Stretch,
  file: number,
  bytes: Bytes,
  newOffset: number,
  oldOffset: number,
): Piece {
  return {
    newStart: newStart + newOffset,
    length,
    file,
    oldStart: oldStart + oldOffset,
    old: bytes.subarray(oldStart, oldStart + length),
  };
}

function equalLength(a: Bytes, b: Bytes): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

function covered(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}
