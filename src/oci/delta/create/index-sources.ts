import { CfsError } from "../../../errors.ts";
import type { ObjectStoreHandle } from "../../../repository/objects.ts";
import { BlockIndex, type BlockIndexMemory } from "../../../similarity/block-index.ts";
import type { Algorithm } from "../../../verity/digest.ts";
import { formatObjectId } from "../../../verity/digest.ts";
import { VerityHasher } from "../../../verity/merkle.ts";
import { ObjectReader } from "./object-reader.ts";
import type { ReusableFile } from "./reusable-files.ts";

/** The part of one thread in the index of the source image. */
export interface IndexRequest {
  readonly stores: readonly ObjectStoreHandle[];
  readonly algorithm: Algorithm;
  readonly files: readonly Pick<ReusableFile, "id" | "size">[];
  readonly index: BlockIndexMemory;
  /** Two numbers: of the file that nobody has begun, and of the bytes that were read. Shared. */
  readonly counters: SharedArrayBuffer;
}

/** A multiple of any block. */
const PIECE = 1024 * 1024;

/**
 * Hashes the blocks of files that nobody has begun. What a delta takes from a file has
 * to be right wherever it is applied: each one is compared with its digest.
 * @throws CfsError Corrupt
 */
export function indexSources(request: IndexRequest): void {
  const { files, algorithm } = request;
  const counters = new BigInt64Array(request.counters);
  const index = new BlockIndex(request.index);
  using reader = new ObjectReader(request.stores);
  const buffer = new Uint8Array(PIECE);
  for (;;) {
    const number = Number(Atomics.add(counters, 0, 1n));
    const file = files[number];
    if (file === undefined) return;
    const hasher = new VerityHasher(algorithm);
    for (let offset = 0; offset < file.size; offset += PIECE) {
      const piece = buffer.subarray(0, Math.min(PIECE, file.size - offset));
      reader.read(file.id, offset, piece);
      hasher.update(piece);
      index.hash(number, offset, piece);
      Atomics.add(counters, 1, BigInt(piece.length));
    }
    if (hasher.digest() !== file.id) {
      throw new CfsError("Corrupt", `object ${formatObjectId(file.id, algorithm)} is damaged`, {
        hint: "find out with `cfsctl fsck` what else is, and pull the image again",
      });
    }
  }
}
