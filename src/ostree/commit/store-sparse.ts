import { byteString } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import { pwriteAll } from "../../sys/file.ts";
import type { SparseFile, SparseRun } from "../../tar/entry.ts";
import { endInsideBody } from "../../tar/parser.ts";
import { MAX_IN_BODY_MAP, parseInBodyMap } from "../../tar/sparse.ts";
import { type Content, INLINE_LIMIT } from "../../tree/model.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { VerityHasher } from "../../verity/merkle.ts";
import type { Body } from "./tar-input.ts";

/** Holes take no room, but time: all of the file takes part in its checksum. */
const MAX_SIZE = 64 * 1024 ** 3;
const BLOCK = 512;

/** Stores a sparse file of an archive as a reader would see it. @throws CfsError Invalid, Unsupported */
export function storeSparse(sparse: SparseFile, body: Body, store: ObjectStore): Content {
  const { realSize } = sparse;
  if (realSize > MAX_SIZE)
    throw new CfsError("Unsupported", `a sparse file of ${realSize} bytes is too large to expand`);
  const runs = sparse.runs === "in-body" ? readMap(body, realSize) : sparse.runs;
  if (realSize <= INLINE_LIMIT) {
    const data = new Uint8Array(realSize);
    for (const { offset, length } of runs) body.fill(data.subarray(offset, offset + length));
    return { type: "inline", data: byteString(data) };
  }
  const file = store.begin();
  let id: ObjectId;
  try {
    const hasher = new VerityHasher(store.algorithm);
    for (const { offset, length } of runs) {
      addZeros(hasher, offset);
      for (let done = 0; done < length; ) {
        const piece = body.next(length - done);
        if (piece.length === 0) throw endInsideBody();
        pwriteAll(file.fd, piece, offset + done, "objects");
        hasher.update(piece);
        done += piece.length;
      }
    }
    if (hasher.size < realSize) {
      addZeros(hasher, realSize);
      // The last byte gives the file its size.
      pwriteAll(file.fd, ZEROS.subarray(0, 1), realSize - 1, "objects");
    }
    id = hasher.digest();
  } catch (error) {
    store.abandon(file);
    throw error;
  }
  store.commit(file, id, realSize);
  return { type: "external", id, size: BigInt(realSize) };
}

const ZEROS = new Uint8Array(64 * 1024);

function addZeros(hasher: VerityHasher, end: number): void {
  while (hasher.size < end) hasher.update(ZEROS.subarray(0, Math.min(ZEROS.length, end - hasher.size)));
}

/** The map that some archives have before the data: read block by block until it is whole. */
function readMap(body: Body, realSize: number): readonly SparseRun[] {
  const most = Math.min(body.size, MAX_IN_BODY_MAP);
  const head = new Uint8Array(most);
  let length = 0;
  while (length + BLOCK <= most) {
    body.fill(head.subarray(length, length + BLOCK));
    length += BLOCK;
    if (!isWholeMap(head.subarray(0, length))) continue;
    return parseInBodyMap(head.subarray(0, length), realSize, body.size).runs;
  }
  throw new CfsError("Invalid", "the map of a sparse file has no end");
}

/** Whether as many lines are there as the first one says: it counts the runs, of two lines each. */
function isWholeMap(head: Uint8Array): boolean {
  const text = Buffer.from(head.buffer, head.byteOffset, head.length).latin1Slice();
  const lines = text.split("\n");
  const count = Number(lines[0]);
  return lines.length - 1 >= 1 + 2 * count || !(count >= 0);
}
