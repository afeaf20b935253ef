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
 * Replays the layers of an image while they come in: each as soon as those below it are done. Entries of a layer
 * that was just split are at hand, the others are read from the repository.
 */
export class ImageTreeBuilder {
  readonly root: Directory = emptyRoot();
  readonly #repository: Repository;
  readonly #diffIds: readonly OciDigest[];
  readonly #awaited: Set<OciDigest>;
  readonly #split = new Map<OciDigest, SplitLayer>();
  #applied = 0;

  /** @param awaited layers that will be given to `add`; the others are in the repository. */
  constructor(repository: Repository, diffIds: readonly OciDigest[], awaited: Iterable<OciDigest>) {
    this.#repository = repository;
    this.#diffIds = diffIds;
    this.#awaited = new Set(awaited);
  }

  add(id: OciDigest, split: SplitLayer): void {
    this.#awaited.delete(id);
    this.#split.set(id, split);
    this.advance();
  }

  /** Replays all layers whose turn it is. */
  advance(): void {
    const expandSparse = sparseExpander(this.#repository.objects, "store");
    for (; this.#applied < this.#diffIds.length; this.#applied++) {
      const id = this.#diffIds[this.#applied]!;
      if (this.#awaited.has(id)) return;
      const split = this.#split.get(id);
      const entries =
        split === undefined
          ? readStoredLayer(this.#repository, id)
          : readLayerEntries(split.entries, split.externals, this.#repository.algorithm.size);
      try {
        applyLayer(this.root, entries, expandSparse);
      } catch (error) {
        throw withContext(`layer ${id}`, error);
      }
      // A layer that comes again further up is read again then.
      this.#split.delete(id);
    }
  }
}
