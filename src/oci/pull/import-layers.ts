import { CfsError, kindOf } from "../../errors.ts";
import { WorkerPool } from "../../parallel/pool.ts";
import { abortAll, createSlabs, wakeWaiting } from "../../parallel/slabs.ts";
import type { Progress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { linkStream } from "../../repository/streams.ts";
import { fstatfs } from "../../sys/stat.ts";
import type { ChunkedPlan } from "../chunked/plan.ts";
import { TAR_DIFF } from "../delta/format.ts";
import type { Descriptor } from "../descriptor.ts";
import { type OciDigest, requireSupported } from "../digest.ts";
import { DOCKER_LAYER_GZIP, layerCompression } from "../media-types.ts";
import type { BlobStore, RemoteBlobs } from "../source.ts";
import { blobStream, layerStream } from "../streams.ts";
import type { BlobLocation } from "./blob-bytes.ts";
import { type PlannedLayer, planLayer } from "./chunked-layer.ts";
import { type DownloadLimits, Downloads } from "./downloads.ts";
import {
  type LayerTask,
  type PatchedImage,
  type SplitRequest,
  type SplitResult,
  splitLayers,
} from "./layer-job.ts";
import { noStatistics, type SplitLayer, type SplitStatistics } from "./layer-splitter.ts";
import type { ImageLayer } from "./pull.ts";
import { BlobTransfer, ChunkedTransfer, type Transfer } from "./transfers.ts";

export interface ImportOptions {
  readonly jobs: number;
  readonly progress: Progress;
  /** What the layers must be: tars, or blobs of an artifact that are stored as they are. */
  readonly kind: "tar" | "blob";
  /** Also store the blobs of compressed layers as they are. */
  readonly keepBlobs?: boolean;
  /** Diff IDs of layers that probably hold the same files. */
  readonly likely?: readonly OciDigest[];
  /** What layers are made from whose substitutes are tar-diffs. */
  readonly patched?: PatchedImage | undefined;
  /** How much is fetched at the same time, where that is not left to the number of connections. */
  readonly downloads?: DownloadLimits | undefined;
  /** Called on each layer as soon as its stream is linked, in no particular order. */
  readonly onLayer?: (id: OciDigest, split: SplitLayer) => void;
}

/** Below this many transported bytes, starting another thread takes longer than the work that it takes over. */
const BYTES_PER_THREAD = 2 * 1024 * 1024;
const PROGRESS_INTERVAL_MS = 100;
/** Threads learn from the arrivals which file it is. */
const UNKNOWN_FD = -1;
/** When plans take so much memory, the other layers are fetched as a whole. */
const MAX_PLANNED_BYTES = 128 * 1024 * 1024;
/** An image may have more layers than a process may have open files. */
const MAX_OPEN_BLOBS = 128;

/**
 * Imports layers, several at a time, each verified before its stream is linked.
 * @param layers each id once.
 */
export async function importLayers(
  repository: Repository,
  blobs: BlobStore | RemoteBlobs,
  layers: readonly ImageLayer[],
  options: ImportOptions,
): Promise<SplitStatistics> {
  const statistics = noStatistics();
  if (layers.length === 0) return statistics;
  for (const layer of layers) requireSupported(transported(layer).digest, "Layer");
  // How long a layer takes depends on what it holds, not on how little of it is transported.
  const largestFirst = [...layers].sort((a, b) => b.descriptor.size - a.descriptor.size);
  const totalBytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  const threads = Math.min(options.jobs, Math.ceil(totalBytes / BYTES_PER_THREAD));
  await using pool = totalBytes < BYTES_PER_THREAD ? undefined : new WorkerPool(threads);
  for (let start = 0; start < largestFirst.length; start += MAX_OPEN_BLOBS) {
    const some = largestFirst.slice(start, start + MAX_OPEN_BLOBS);
    const batch = { repository, layers: some, options, pool, statistics };
    if ("openBlob" in blobs) await importPresent(batch, blobs);
    else await importRemote(batch, blobs);
  }
  return statistics;
}

interface Batch {
  readonly repository: Repository;
  readonly layers: readonly ImageLayer[];
  readonly options: ImportOptions;
  /** Undefined to do the work in this thread. */
  readonly pool: WorkerPool | undefined;
  readonly statistics: SplitStatistics;
  /** Called when it may be wrong what an earlier run has brought of a blob; that is gone then. */
  readonly onStale?: () => void;
}

/** Layers whose blobs are in files. */
async function importPresent(batch: Batch, blobs: BlobStore): Promise<void> {
  using readers = new DisposableStack();
  const tasks: LayerTask[] = [];
  for (const layer of batch.layers) {
    const { fd, offset } = readers.use(await blobs.openBlob(transported(layer)));
    const task = layerTask(layer, batch.options);
    tasks.push({ ...task, blob: { ...task.blob, fd, offset } });
  }
  await split(batch, tasks);
}

/** Layers whose blobs have to be fetched; of those whose files are here in part, the rest. */
async function importRemote(batch: Batch, remote: RemoteBlobs): Promise<void> {
  const { repository, layers, options } = batch;
  const plans = new Map<ImageLayer, PlannedLayer>();
  using files = new DisposableStack();
  if (options.kind === "tar" && options.keepBlobs !== true) {
    let heldBytes = 0;
    for (const layer of layers) {
      if (heldBytes > MAX_PLANNED_BYTES) break;
      if (layer.substitute !== undefined) continue;
      const planned = await planLayer(
        repository,
        remote,
        layer.descriptor,
        options.likely ?? [],
        options.jobs,
      );
      if (planned === undefined) continue;
      heldBytes += planned.heldBytes;
      files.use(planned.file);
      plans.set(layer, planned);
    }
  }
  const linked = new Set<OciDigest>();
  const onLayer: ImportOptions["onLayer"] = (id, layer) => {
    linked.add(id);
    options.onLayer?.(id, layer);
  };
  const plansOf = (plan: (planned: PlannedLayer) => ChunkedPlan) =>
    new Map([...plans].map(([layer, planned]) => [layer, { file: planned.file, plan: plan(planned) }]));
  // A registry may take few ranges or none. What a table of contents says may be wrong, and the blob still be right.
  const attempts: (() => ReadonlyMap<ImageLayer, LocalFile>)[] =
    plans.size === 0 ? [] : [() => plans, () => plansOf((planned) => planned.coarser())];
  for (const attempt of attempts) {
    const rest = layers.filter(({ id }) => !linked.has(id));
    try {
      return await fetchAndSplit(
        { ...batch, layers: rest, options: { ...options, onLayer } },
        remote,
        attempt(),
      );
    } catch (error) {
      if (!isAboutContent(error)) throw error;
      if (kindOf(error) !== "Unsupported") break;
    }
  }
  let isStale = false;
  const fetchRest = () =>
    fetchAndSplit(
      {
        ...batch,
        layers: layers.filter(({ id }) => !linked.has(id)),
        options: { ...options, onLayer },
        onStale: () => {
          isStale = true;
        },
      },
      remote,
      new Map(),
    );
  try {
    await fetchRest();
  } catch (error) {
    if (!isStale) throw error;
    await fetchRest();
  }
}

/** A file from which a layer is put together in part. */
type LocalFile = Pick<PlannedLayer, "file" | "plan">;

async function fetchAndSplit(
  batch: Batch,
  remote: RemoteBlobs,
  plans: ReadonlyMap<ImageLayer, LocalFile>,
): Promise<void> {
  const { repository, layers, options } = batch;
  const transfers = layers.map((layer): Transfer => {
    const planned = plans.get(layer);
    return planned === undefined
      ? new BlobTransfer(repository, remote, transported(layer))
      : new ChunkedTransfer(remote, layer.descriptor, planned.plan, planned.file);
  });
  ensureSpace(
    repository,
    transfers.reduce((sum, { size, present }) => sum + size - present, 0),
  );
  const tasks = layers.map((layer) => layerTask(layer, options, plans.get(layer)?.plan));
  await split(batch, tasks, transfers);
}

/** @param transfers of the blobs that are not here yet. */
async function split(
  { repository, layers, options, pool, statistics, onStale }: Batch,
  tasks: readonly LayerTask[],
  transfers?: readonly Transfer[],
): Promise<void> {
  const threads = pool?.size ?? 1;
  const slabs = createSlabs(threads);
  const progress = new ProgressReader(tasks, options.progress);
  let isResumed = false;
  using downloads =
    transfers &&
    new Downloads(transfers, {
      onArrival: () => wakeWaiting(slabs),
      onResume: (index, bytes) => {
        // What a plan puts in front of what it fetches is not transported at all.
        if (tasks[index]!.plan !== undefined) return;
        progress.resumed(index, bytes);
        isResumed = true;
      },
      readMeanwhile: pool !== undefined,
      ...(options.downloads !== undefined && { limits: options.downloads }),
    });
  const request = (owner: number): SplitRequest => ({
    store: repository.objects.handle,
    slabs,
    owner,
    layers: tasks,
    progress: progress.shared,
    arrivals: downloads?.arrivals.shared,
    patched: options.patched,
  });
  const onResult = ({ layer, split: result }: SplitResult) => {
    const { id, descriptor } = layers[layer]!;
    linkStream(repository, layerStream(id), result.id);
    if (result.blob !== undefined) linkStream(repository, blobStream(descriptor.digest), result.blob);
    downloads?.done(layer);
    statistics.newObjects += result.statistics.newObjects;
    statistics.presentObjects += result.statistics.presentObjects;
    statistics.storedBytes += result.statistics.storedBytes;
    statistics.inlinedBytes += result.statistics.inlinedBytes;
    progress.done(layer);
    options.onLayer?.(id, result);
  };
  const stop = () => {
    abortAll(slabs);
    downloads?.stop();
  };

  const timer = setInterval(() => progress.report(), PROGRESS_INTERVAL_MS);
  try {
    if (pool === undefined) {
      await downloads?.run();
      splitLayers(request(0), onResult);
    } else {
      const requests = Array.from({ length: threads }, (_, owner) => request(owner));
      await settleAll([
        pool.run<SplitRequest, void, SplitResult>("split-layers", requests, onResult, stop),
        downloads?.run().catch((error: unknown) => {
          stop();
          throw error;
        }),
      ]);
    }
  } catch (error) {
    // Nobody knows which bytes are the wrong ones: the next attempt begins anew. What is damaged may look like
    // anything to those who read it; but a registry that refuses a request says nothing about what it has sent.
    if (downloads !== undefined && (downloads.failed ? kindOf(error) === "Corrupt" : isAboutContent(error))) {
      downloads.discard();
      if (isResumed) onStale?.();
    }
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** Whether what was fetched can't be used, or couldn't be fetched in such parts. */
export function isAboutContent(error: unknown): boolean {
  const kind = kindOf(error);
  return kind === "Corrupt" || kind === "Invalid" || kind === "Unsupported";
}

/** Waits for all, and throws the first failure. */
async function settleAll(promises: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === "rejected") throw result.reason;
  }
}

function layerTask(layer: ImageLayer, options: ImportOptions, plan?: ChunkedPlan): LayerTask {
  const { descriptor, id, substitute } = layer;
  const { keepBlobs } = options;
  const kind = substitute?.mediaType === TAR_DIFF ? "patch" : options.kind;
  const isPublished = descriptor.digest !== id && kind === "tar" && substitute === undefined;
  return {
    kind,
    blob: blobOf(layer, kind),
    id,
    label: descriptor.digest,
    keepBlob: keepBlobs === true && isPublished,
    plan,
  };
}

/** The blob that a layer comes in. */
function transported({ descriptor, substitute }: ImageLayer): Descriptor {
  return substitute ?? descriptor;
}

/** The blob of a layer that is yet to be opened. */
function blobOf(layer: ImageLayer, kind: LayerTask["kind"]): BlobLocation {
  const { digest, size, mediaType } = transported(layer);
  // Manifests made of docker's archives say gzip of plain tars; these have the digest of what they hold.
  const isPlain = kind !== "tar" || (mediaType === DOCKER_LAYER_GZIP && digest === layer.id);
  const compression = isPlain ? "none" : layerCompression(mediaType);
  if (compression === undefined) {
    throw new CfsError("Unsupported", `layer ${digest} has media type ${mediaType}, which is no tar layer`, {
      hint: "images have tar layers, plain or compressed with gzip or zstd",
    });
  }
  return { fd: UNKNOWN_FD, offset: 0, size, digest, compression };
}

/** Turns the counters that threads write into progress events. */
class ProgressReader {
  readonly shared: SharedArrayBuffer;
  readonly #tasks: readonly LayerTask[];
  readonly #progress: Progress;
  readonly #counters: Float64Array;
  readonly #reported: number[];

  constructor(tasks: readonly LayerTask[], progress: Progress) {
    this.shared = new SharedArrayBuffer(tasks.length * 8);
    this.#counters = new Float64Array(this.shared);
    this.#tasks = tasks;
    this.#progress = progress;
    this.#reported = tasks.map(() => 0);
    for (const task of tasks) {
      const { label } = task;
      progress.event({ type: "start", id: label, label, totalBytes: transportSize(task) });
    }
  }

  /** An earlier run has brought so many bytes of a layer. */
  resumed(index: number, bytes: number): void {
    const task = this.#tasks[index]!;
    const { label } = task;
    const totalBytes = transportSize(task);
    this.#progress.event({ type: "start", id: label, label, totalBytes, resumedBytes: bytes });
  }

  report(): void {
    this.#tasks.forEach(({ label }, index) => {
      const bytes = this.#counters[index]!;
      if (bytes === this.#reported[index]) return;
      this.#reported[index] = bytes;
      this.#progress.event({ type: "advance", id: label, bytes });
    });
  }

  done(index: number): void {
    const task = this.#tasks[index]!;
    this.#reported[index] = this.#counters[index]!;
    this.#progress.event({ type: "done", id: task.label, bytes: transportSize(task) });
  }
}

/** Bytes to be read for a layer. */
function transportSize({ blob, plan }: LayerTask): number {
  return plan?.fetchLength ?? blob.size!;
}

/** @throws CfsError Io when less than `bytes` are free where the repository is. */
function ensureSpace(repository: Repository, bytes: number): void {
  const { availableBytes } = fstatfs(repository.dir);
  if (availableBytes >= bytes) return;
  throw new CfsError(
    "Io",
    `the layers to be fetched have ${bytes} bytes, but only ${availableBytes} are free on the repository's file system`,
    { hint: "`cfsctl gc` frees what no image needs any more", data: { needed: bytes, free: availableBytes } },
  );
}
