import { CfsError, withContext } from "../../errors.ts";
import { Aborted, type SharedSlabs, SlabExchange } from "../../parallel/slabs.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { storeSlab } from "../../repository/store-batch.ts";
import { BlobInput, type BlobLocation } from "./blob-input.ts";
import { LayerSplitter, type SplitLayer } from "./layer-splitter.ts";

/** A layer to be split. */
export interface LayerTask {
  readonly blob: BlobLocation;
  /** Digest of the plain tar. */
  readonly diffId: string;
  /** For messages: how the user knows this layer. */
  readonly label: string;
}

/** The part of one thread in splitting the layers of an image. */
export interface SplitRequest {
  readonly store: ObjectStoreHandle;
  readonly slabs: SharedSlabs;
  /** Number of this thread. */
  readonly owner: number;
  /** Largest first; all threads get the same list. */
  readonly layers: readonly LayerTask[];
  /** One number a layer: bytes of it that were read. Shared. */
  readonly progress: SharedArrayBuffer;
}

export interface SplitResult {
  /** Index into the request's `layers`. */
  readonly layer: number;
  readonly split: SplitLayer;
}

/**
 * Splits layers that nobody has begun, and helps with the others' until all are done.
 * @returns the layers split by this thread; nothing when another thread failed.
 */
export function splitLayers(request: SplitRequest, onLayer: (result: SplitResult) => void): void {
  const store = new ObjectStore(request.store);
  const exchange = new SlabExchange(request.slabs, request.owner, (slab) => storeSlab(store, slab));
  try {
    for (let index = exchange.nextTask(); index < request.layers.length; index = exchange.nextTask()) {
      if (exchange.aborted) break;
      onLayer({ layer: index, split: splitLayer(request, index, store, exchange) });
    }
    exchange.helpOthers();
  } catch (error) {
    exchange.abort();
    if (!(error instanceof Aborted)) throw error;
  } finally {
    exchange.withdraw();
    store.close();
  }
}

function splitLayer(
  request: SplitRequest,
  index: number,
  store: ObjectStore,
  exchange: SlabExchange,
): SplitLayer {
  const { blob, diffId, label } = request.layers[index]!;
  const progress = new Float64Array(request.progress);
  const algorithm = diffId.slice(0, diffId.indexOf(":"));
  try {
    const splitter = new LayerSplitter(
      store,
      exchange,
      new BlobInput(blob, algorithm),
      request.store.repositoryFd,
      (consumed) => {
        progress[index] = consumed;
      },
    );
    return splitter.run((plainDigest) => {
      if (`${algorithm}:${plainDigest}` === diffId) return;
      throw new CfsError(
        "Corrupt",
        `Layer ${diffId} has incorrect checksum: computed ${algorithm}:${plainDigest}`,
        {
          data: { expected: diffId, found: `${algorithm}:${plainDigest}` },
          hint: "the image's config does not belong to this layer; fetch or copy the image again",
        },
      );
    });
  } catch (error) {
    if (error instanceof Aborted) throw error;
    throw withContext(`layer ${label}`, error);
  }
}
