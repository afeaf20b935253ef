import { CfsError, withContext } from "../../errors.ts";
import { SharedBudget } from "../../parallel/budget.ts";
import { Aborted, type SharedSlabs, SlabExchange, wakeWaiting } from "../../parallel/slabs.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { storeSlab } from "../../repository/store-batch.ts";
import type { ChunkedPlan } from "../chunked/plan.ts";
import { PatchInput } from "../delta/patch-input.ts";
import { SourceFiles } from "../delta/source-files.ts";
import { digestAlgorithm, type OciDigest } from "../digest.ts";
import { Arrivals } from "./arrivals.ts";
import type { BlobInputOptions, BlobLocation } from "./blob-bytes.ts";
import { BlobInput } from "./blob-input.ts";
import { BlobCopy, storeBlob } from "./blob-store.ts";
import { ChunkedInput } from "./chunked-input.ts";
import { LayerSplitter, type SplitLayer } from "./layer-splitter.ts";

/** Memory of all threads together for frames that have a file as their prefix, unless a single one needs more. */
const FRAME_MEMORY = 128 * 1024 * 1024;

/** A layer to be imported. */
export interface LayerTask {
  /** Tars are split, blobs are stored as they are; of patches a tar is made first. */
  readonly kind: "tar" | "blob" | "patch";
  readonly blob: BlobLocation;
  /** Digest of the plain content: the diff ID of a tar. */
  readonly id: OciDigest;
  /** For messages: how the user knows this layer. */
  readonly label: string;
  /** Store the blob as it was transported as well. */
  readonly keepBlob?: boolean;
  /** How the tar is put together when the blob is not transported as a whole. */
  readonly plan?: ChunkedPlan | undefined;
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
  /** `Arrivals` of the layers when their blobs are still being transported; these have the descriptors then. Shared. */
  readonly arrivals?: SharedArrayBuffer | undefined;
  /** What patches are applied to. */
  readonly patched?: PatchedImage | undefined;
}

/** The source image of a delta. All of it is shared. */
export interface PatchedImage {
  /** An EROFS image of it. */
  readonly image: SharedArrayBuffer;
  /** Of a `SharedBudget`. */
  readonly memory: SharedArrayBuffer;
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
export function splitLayers(
  request: SplitRequest,
  onLayer: (result: SplitResult, transfer: ArrayBuffer[]) => void,
): void {
  const store = new ObjectStore(request.store);
  const exchange = new SlabExchange(request.slabs, request.owner, (slab) => storeSlab(store, slab));
  try {
    for (let index = exchange.nextTask(); index < request.layers.length; index = exchange.nextTask()) {
      if (exchange.aborted) break;
      const split = importLayer(request, index, store, exchange);
      onLayer({ layer: index, split }, [split.externals.buffer]);
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

function importLayer(
  request: SplitRequest,
  index: number,
  store: ObjectStore,
  exchange: SlabExchange,
): SplitLayer {
  const { kind, id, label, keepBlob, plan } = request.layers[index]!;
  const progress = new Float64Array(request.progress);
  const onProgress = (consumed: number) => {
    progress[index] = consumed;
  };
  const verify = (plainDigest: string) => {
    const found = `${digestAlgorithm(id)}:${plainDigest}`;
    if (found === id) return;
    throw new CfsError("Corrupt", `Layer ${id} has incorrect checksum: computed ${found}`, {
      data: { expected: id, found },
      hint: "this is not the layer that was announced; fetch or copy it again",
    });
  };
  try {
    if (kind === "blob") return storeBlob(store, openBlob(request, index, exchange), onProgress, verify);
    using copy = keepBlob === true ? new BlobCopy(store) : undefined;
    const input =
      kind === "patch"
        ? openPatch(request, index, exchange, store)
        : plan === undefined
          ? openBlob(request, index, exchange, copy && ((piece) => copy.write(piece)))
          : openChunked(request, index, exchange, store, plan);
    const split = new LayerSplitter(store, exchange, input, request.store.repositoryFd, onProgress).run(
      verify,
    );
    return copy === undefined ? split : { ...split, blob: copy.finish() };
  } catch (error) {
    if (error instanceof Aborted) throw error;
    throw withContext(`layer ${label}`, error);
  }
}

function openBlob(
  request: SplitRequest,
  index: number,
  exchange: SlabExchange,
  tee?: (piece: Uint8Array<ArrayBuffer>) => void,
): BlobInput {
  const { blob, id } = request.layers[index]!;
  const { location, options } = located(blob, request, index, exchange);
  return new BlobInput(location, id, { ...options, ...(tee !== undefined && { tee }) });
}

/** Where the blob really is, when it is being transported. */
function located(
  blob: BlobLocation,
  { arrivals }: SplitRequest,
  index: number,
  exchange: SlabExchange,
): { location: BlobLocation; options: BlobInputOptions } {
  if (arrivals === undefined) return { location: blob, options: {} };
  const { fd, waitForMore } = arriving(arrivals, index, exchange);
  return { location: { ...blob, fd }, options: { waitForMore } };
}

function openPatch(
  request: SplitRequest,
  index: number,
  exchange: SlabExchange,
  store: ObjectStore,
): PatchInput {
  const { blob, id } = request.layers[index]!;
  const patched = request.patched!;
  const budget = new SharedBudget(patched.memory, FRAME_MEMORY);
  const memory = {
    take: (bytes: number) => exchange.waitUntil(() => budget.take(bytes)),
    give: (bytes: number) => {
      budget.give(bytes);
      wakeWaiting(request.slabs);
    },
  };
  const sources = new SourceFiles(new Uint8Array(patched.image), store);
  const { location, options } = located(blob, request, index, exchange);
  return new PatchInput(location, id, sources, memory, options);
}

function openChunked(
  request: SplitRequest,
  index: number,
  exchange: SlabExchange,
  store: ObjectStore,
  plan: ChunkedPlan,
): ChunkedInput {
  const { fd, waitForMore } = arriving(request.arrivals!, index, exchange);
  return new ChunkedInput(plan, fd, store, waitForMore, request.layers[index]!.id);
}

/** The file into which a blob is being transported. */
function arriving(shared: SharedArrayBuffer, index: number, exchange: SlabExchange) {
  const arrivals = new Arrivals(shared);
  exchange.waitUntil(() => arrivals.fd(index) !== undefined);
  const waitForMore = (than: number) => {
    exchange.waitUntil(() => arrivals.bytes(index) > than);
    return arrivals.bytes(index);
  };
  return { fd: arrivals.fd(index)!, waitForMore };
}
