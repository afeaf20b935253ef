import type { ObjectStore } from "../../repository/objects.ts";
import { CONTENT_BLOB } from "../../splitstream/format.ts";
import { SplitstreamWriter, toBytes } from "../../splitstream/writer.ts";
import type { BlobInput } from "./blob-input.ts";
import type { SplitLayer } from "./layer-splitter.ts";

const PIECE = 256 * 1024;

/**
 * Stores a blob as one object and makes the splitstream that names it.
 * @param verify called with the hash of the content before anything is stored under its name; throws to refuse it.
 */
export function storeBlob(
  store: ObjectStore,
  input: BlobInput,
  onProgress: (consumed: number) => void,
  verify: (plainDigest: string) => void,
): SplitLayer {
  const piece = new Uint8Array(PIECE);
  const { id, size, created } = store.storeStream((write) => {
    for (let atEnd = false; !atEnd; ) {
      const length = input.fill(piece, 0, PIECE);
      write(piece.subarray(0, length));
      onProgress(input.consumed);
      atEnd = length < PIECE;
    }
    verify(input.finish());
  });
  const writer = new SplitstreamWriter(store.algorithm, CONTENT_BLOB);
  writer.external(id, size);
  return {
    id: store.storeBytes(toBytes(writer.finish())).id,
    entries: undefined,
    externals: new Uint32Array(0),
    statistics: {
      newObjects: created ? 1 : 0,
      presentObjects: created ? 0 : 1,
      storedBytes: created ? size : 0,
      inlinedBytes: 0,
    },
  };
}
