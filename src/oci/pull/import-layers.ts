import { CfsError, kindOf } from "../../errors.ts";
import { WorkerPool } from "../../parallel/pool.ts";
import { abortAll, createSlabs, wakeWaiting } from "../../parallel/slabs.ts";
import type { Progress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { linkStream } from "../../repository/streams.ts";
import { fstatfs } from "../../sys/stat.ts";
import type { OciDigest } from "../digest.ts";
import { layerCompression } from "../media-types.ts";
import type { BlobStore, RemoteBlobs } from "../source.ts";
import { blobStream, layerStream } from "../streams.ts";
import { Downloads } from "./downloads.ts";
import { type LayerTask, type SplitRequest, type SplitResult, splitLayers } from "./layer-job.ts";
import { noStatistics, type SplitLayer, type SplitStatistics } from "./layer-splitter.ts";
import type { ImageLayer } from "./pull.ts";

export interface ImportOptions {
  readonly jobs: number;
  readonly progress: Progress;
  /** What the layers must be: tars, or blobs of an artifact that are stored as they are. */
  readonly kind: "tar" | "blob";
  /** Also store the blobs of compressed layers as they are. */
  readonly keepBlobs?: boolean;
  /** Called on each layer as soon as its stream is linked, in no particular order. */
  readonly onLayer?: (id: OciDigest, split: SplitLayer) => void;
}

/** Below this many transported bytes, starting another thread takes longer than the work that it takes over. */
const BYTES_PER_THREAD = 2 * 1024 * 1024;
const PROGRESS_INTERVAL_MS = 100;
/** Threads learn from the arrivals which file it is. */
const UNKNOWN_FD = -1;
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
  const largestFirst = [...layers].sort((a, b) => b.descriptor.size - a.descriptor.size);
  const totalBytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  if (!("openBlob" in blobs)) ensureSpace(repository, totalBytes);
  const threads = Math.min(options.jobs, Math.ceil(totalBytes / BYTES_PER_THREAD));
  await using pool = totalBytes < BYTES_PER_THREAD ? undefined : new WorkerPool(threads);
  for (let start = 0; start < largestFirst.length; start += MAX_OPEN_BLOBS) {
    const some = largestFirst.slice(start, start + MAX_OPEN_BLOBS);
    await importSome(repository, blobs, some, options, pool, statistics);
  }
  return statistics;
}

/** @param pool undefined to do the work in this thread. */
async function importSome(
  repository: Repository,
  blobs: BlobStore | RemoteBlobs,
  layers: readonly ImageLayer[],
  options: ImportOptions,
  pool: WorkerPool | undefined,
  statistics: SplitStatistics,
): Promise<void> {
  const threads = pool?.size ?? 1;
  const slabs = createSlabs(threads);
  const descriptors = layers.map(({ descriptor }) => descriptor);
  using local = new DisposableStack();
  const tasks: LayerTask[] = [];
  let downloads: Downloads | undefined;
  if ("openBlob" in blobs) {
    for (const layer of layers) {
      const { fd, offset } = local.use(await blobs.openBlob(layer.descriptor));
      tasks.push(layerTask(layer, options, fd, offset));
    }
  } else {
    downloads = local.use(new Downloads(repository, blobs, descriptors, () => wakeWaiting(slabs)));
    for (const layer of layers) tasks.push(layerTask(layer, options, UNKNOWN_FD, 0));
  }

  const progress = new ProgressReader(tasks, options.progress);
  const request = (owner: number): SplitRequest => ({
    store: repository.objects.handle,
    slabs,
    owner,
    layers: tasks,
    progress: progress.shared,
    arrivals: downloads?.arrivals.shared,
  });
  const onResult = ({ layer, split }: SplitResult) => {
    const { id, descriptor } = layers[layer]!;
    linkStream(repository, layerStream(id), split.id);
    if (split.blob !== undefined) linkStream(repository, blobStream(descriptor.digest), split.blob);
    downloads?.done(layer);
    statistics.newObjects += split.statistics.newObjects;
    statistics.presentObjects += split.statistics.presentObjects;
    statistics.storedBytes += split.statistics.storedBytes;
    statistics.inlinedBytes += split.statistics.inlinedBytes;
    progress.done(layer);
    options.onLayer?.(id, split);
  };
  const split = async () => {
    if (pool === undefined) {
      await downloads?.run();
      splitLayers(request(0), onResult);
      return;
    }
    const requests = Array.from({ length: threads }, (_, owner) => request(owner));
    const stop = () => {
      abortAll(slabs);
      downloads?.stop();
    };
    const splitting = pool.run<SplitRequest, void, SplitResult>("split-layers", requests, onResult, stop);
    const failed = await downloads?.run().catch((error: unknown) => {
      abortAll(slabs);
      return { error };
    });
    await splitting;
    if (failed !== undefined) throw failed.error;
  };

  const timer = setInterval(() => progress.report(), PROGRESS_INTERVAL_MS);
  try {
    await split();
  } catch (error) {
    // Nobody knows which bytes are the wrong ones: the next attempt begins anew.
    if (kindOf(error) === "Corrupt") downloads?.discard();
    throw error;
  } finally {
    clearInterval(timer);
  }
}

function layerTask(
  { descriptor, id }: ImageLayer,
  { kind, keepBlobs }: ImportOptions,
  fd: number,
  offset: number,
): LayerTask {
  const { digest, size, mediaType } = descriptor;
  const compression = kind === "blob" ? "none" : layerCompression(mediaType);
  if (compression === undefined) {
    throw new CfsError("Unsupported", `layer ${digest} has media type ${mediaType}, which is no tar layer`, {
      hint: "images have tar layers, plain or compressed with gzip or zstd",
    });
  }
  return {
    kind,
    blob: { fd, offset, size, digest, compression },
    id,
    label: digest,
    keepBlob: keepBlobs === true && digest !== id && kind === "tar",
  };
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
    for (const { label, blob } of tasks) {
      progress.event({ type: "start", id: label, label, totalBytes: blob.size! });
    }
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
    const { label, blob } = this.#tasks[index]!;
    this.#reported[index] = this.#counters[index]!;
    this.#progress.event({ type: "done", id: label, bytes: blob.size! });
  }
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
