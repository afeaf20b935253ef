import type { OperationWriter } from "../operation-writer.ts";
import type { Piece } from "./body-matcher.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/** So many bytes that are the same are worth an operation of their own; shorter runs are zeros among differences. */
const MIN_COPY = 128;

/**
 * Writes a body as pieces of source files and the data between them.
 * @param pathOf a source file, by its number.
 */
export function writePieces(
  writer: OperationWriter,
  young: Bytes,
  pieces: readonly Piece[],
  pathOf: (file: number) => Bytes,
): void {
  let at = 0;
  let open: number | undefined;
  for (const piece of pieces) {
    writer.data(young.subarray(at, piece.newStart));
    if (piece.file !== open) writer.open(pathOf(piece.file));
    open = piece.file;
    at = piece.newStart + piece.length;
    if (piece.old === undefined) writer.copy(piece.oldStart, piece.length);
    else writeAlike(writer, young.subarray(piece.newStart, at), piece.old, piece.oldStart);
  }
  writer.data(young.subarray(at));
}

/** Bytes most of which are the same as as many of the open file. */
function writeAlike(writer: OperationWriter, young: Bytes, old: Bytes, oldStart: number): void {
  const { length } = young;
  let written = 0;
  let at = 0;
  const writeDifferences = (end: number) => {
    if (end === written) return;
    const differences = new Uint8Array(end - written);
    for (let i = written; i < end; i++) differences[i - written] = young[i]! - old[i]!;
    writer.addData(oldStart + written, differences);
  };
  while (at < length) {
    const start = at;
    while (at < length && young[at] === old[at]) at++;
    if (at - start >= MIN_COPY || (at > start && (start === written || at === length))) {
      writeDifferences(start);
      writer.copy(oldStart + start, at - start);
      written = at;
    }
    while (at < length && young[at] !== old[at]) at++;
  }
  writeDifferences(length);
}
