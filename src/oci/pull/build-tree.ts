import { withContext } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStream } from "../../repository/streams.ts";
import type { Directory } from "../../tree/model.ts";
import type { OciDigest } from "../digest.ts";
import { type LayerEntry, readLayerEntries } from "../layer-entries.ts";
import { applyLayer, emptyRoot } from "../layering.ts";
import { sparseExpander } from "../sparse.ts";
import { readStoredLayer } from "../stored-layer.ts";
import { layerStream } from "../streams.ts";
import type { SplitLayer } from "./layer-splitter.ts";

/**
 * Replays the layers of an image. The entries of a layer that was just split are at hand, the others are read from
 * the repository.
 * @param split the layers that were just split.
 */
export function buildImageTree(
  repository: Repository,
  diffIds: readonly OciDigest[],
  split: ReadonlyMap<OciDigest, SplitLayer>,
): Directory {
  const root = emptyRoot();
  const expandSparse = sparseExpander(repository.objects, "store");
  for (const id of diffIds) {
    const layer = split.get(id);
    const entries =
      layer?.entries === undefined ? readStoredLayer(repository, id) : splitEntries(repository, id, layer);
    try {
      applyLayer(root, entries, expandSparse);
    } catch (error) {
      throw withContext(`layer ${id}`, error);
    }
  }
  return root;
}

function* splitEntries(repository: Repository, id: OciDigest, layer: SplitLayer): Generator<LayerEntry> {
  using stream = openStream(repository, layerStream(id));
  yield* readLayerEntries(layer.entries!, layer.externals, stream.reader.objectRefs);
}
