import { type Slab, WHOLE_FILE } from "../parallel/slabs.ts";
import { pwriteAll } from "../sys/file.ts";
import { fsVerityDigest, hashBlocks } from "../verity/merkle.ts";
import type { ObjectStore } from "./objects.ts";

/**
 * Does what a slab asks for: whole files are stored as objects and answered with their digest; pieces of large files
 * are written to their place and answered with the hashes of their blocks.
 */
export function storeSlab(store: ObjectStore, slab: Slab): void {
  const { data, results } = slab;
  for (let item = 0; item < slab.itemCount; item++) {
    const start = slab.offset(item);
    const end = start + slab.length(item);
    const fd = slab.fd(item);
    if (fd === WHOLE_FILE) {
      const bytes = data.subarray(start, end);
      const id = fsVerityDigest(bytes, store.algorithm);
      if (store.storeKnown(id, bytes)) slab.setCreated(item);
      results.hexWrite(id, slab.result(item));
    } else {
      pwriteAll(fd, data.subarray(start, end), slab.position(item), "objects");
      hashBlocks(data, start, end, results, slab.result(item), store.algorithm);
    }
  }
}
