import { withContext } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Directory } from "../../tree/model.ts";
import type { OciDigest } from "../digest.ts";
import { readLayerEntries } from "../layer-entries.ts";
import { applyLayer, emptyRoot } from "../layering.ts";
import { sparseExpander } from "../sparse.ts";
import { readStoredLayer } from "../stored-layer.ts";
import type { SplitLayer } from "./layer-splitter.ts";

/**
 * Replays the layers of an image. The entries of a layer that was just split are at hand, the others are read from
 * the repository.
 * @param split the layers that were just split; used up.
 */
export function buildImageTree(
  repository: Repository,
  diffIds: readonly OciDigest[],
  split: ReadonlyMap<OciDigest, SplitLayer>,
): Directory {
  const root = emptyRoot();
  const expandSparse = sparseExpander(repository.objects, "store");
  const atHand = new Map(split);
  for (const id of diffIds) {
    const layer = atHand.get(id);
    // A layer that comes again further up is read from the repository then.
    atHand.delete(id);
    const entries =
      layer === undefined
        ? readStoredLayer(repository, id)
        : readLayerEntries(layer.entries, layer.externals, repository.algorithm.size);
    try {
      applyLayer(root, entries, expandSparse);
    } catch (error) {
      throw withContext(`layer ${id}`, error);
    }
  }
  return root;
}
