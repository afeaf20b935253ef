import type { SparseFile, SparseRun } from "./entry.ts";
import { BLOCK, checkedSize, invalidTar, numeric64 } from "./header.ts";

/** Longer maps are refused: 10,000 holes are far more than files in images have. */
export const MAX_SPARSE_RUNS = 10_000;

/**
 * A checked description of a sparse file.
 * @param storedSize bytes of data in the archive, without the map.
 * @throws CfsError Invalid when runs overlap, leave the file, or need other data than is stored.
 */
export function sparseFile(
  realSize: number,
  runs: readonly SparseRun[],
  storedSize: number,
): SparseFile & { readonly runs: readonly SparseRun[] } {
  if (runs.length > MAX_SPARSE_RUNS) throw invalidTar("sparse map has too many entries");
  let end = 0;
  let stored = 0;
  for (const { offset, length } of runs) {
    if (length === 0) continue;
    if (offset < end || offset + length > realSize)
      throw invalidTar("sparse map: data overlaps or lies outside of the file");
    end = offset + length;
    stored += length;
  }
  if (stored !== storedSize)
    throw invalidTar(`sparse map covers ${stored} bytes, but ${storedSize} are stored`);
  return { realSize, runs: runs.filter((run) => run.length > 0) };
}

/** Alternating offsets and sizes in decimal. */
export function parseRunList(numbers: readonly string[]): SparseRun[] {
  if (numbers.length % 2 !== 0) throw invalidTar("sparse map: the last offset has no size");
  if (numbers.length > 2 * MAX_SPARSE_RUNS) throw invalidTar("sparse map has too many entries");
  const runs: SparseRun[] = [];
  for (let i = 0; i < numbers.length; i += 2)
    runs.push({ offset: decimal(numbers[i]!), length: decimal(numbers[i + 1]!) });
  return runs;
}

function decimal(text: string): number {
  if (!/^[0-9]{1,20}$/.test(text)) throw invalidTar("sparse map: a number is expected");
  return checkedSize(BigInt(text));
}

/**
 * The map that the old GNU format keeps in the header and in blocks that follow it.
 * @param extensionBlocks how many blocks of 21 runs follow the header.
 */
export function gnuRuns(bytes: Uint8Array, header: number, extensionBlocks: number): SparseRun[] {
  const runs: SparseRun[] = [];
  readRuns(bytes, header + 386, 4, runs);
  for (let i = 1; i <= extensionBlocks; i++) readRuns(bytes, header + i * BLOCK, 21, runs);
  return runs;
}

/** Size of the expanded file in an old GNU sparse header. */
export function gnuRealSize(bytes: Uint8Array, header: number): number {
  return checkedSize(numeric64(bytes, header + 483, 12));
}

function readRuns(bytes: Uint8Array, at: number, count: number, runs: SparseRun[]): void {
  for (let i = 0; i < count; i++, at += 24) {
    // The first empty record ends the list.
    if (bytes[at] === 0 && bytes[at + 12] === 0) return;
    const offset = checkedSize(numeric64(bytes, at, 12));
    runs.push({ offset, length: checkedSize(numeric64(bytes, at + 12, 12)) });
  }
}

/** A map at the beginning of a body, and where the data starts. */
export interface InBodyMap {
  readonly runs: readonly SparseRun[];
  readonly dataOffset: number;
}

/** Bytes of a body that hold the longest map allowed. */
export const MAX_IN_BODY_MAP = 22 * (2 * MAX_SPARSE_RUNS + 1) + BLOCK;

/**
 * Reads the map of PAX sparse format 1.0: decimal lines (count, then offset and size of each run) padded to a block.
 * @param bytes the first bytes of the body, up to MAX_IN_BODY_MAP.
 */
export function parseInBodyMap(bytes: Uint8Array, realSize: number, bodySize: number): InBodyMap {
  let at = 0;
  const line = (): number => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0 || end - at > 20) throw invalidTar("sparse map: a number is expected");
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).latin1Slice(at, end);
    at = end + 1;
    return decimal(text);
  };
  const count = line();
  if (count > MAX_SPARSE_RUNS) throw invalidTar("sparse map has too many entries");
  const runs: SparseRun[] = [];
  for (let i = 0; i < count; i++) runs.push({ offset: line(), length: line() });
  const dataOffset = Math.ceil(at / BLOCK) * BLOCK;
  return { runs: sparseFile(realSize, runs, bodySize - dataOffset).runs, dataOffset };
}
