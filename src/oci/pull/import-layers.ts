import { CfsError } from "../../errors.ts";
import { WorkerPool } from "../../parallel/pool.ts";
import { abortAll, createSlabs } from "../../parallel/slabs.ts";
import type { Progress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { linkStream } from "../../repository/streams.ts";
import type { OciDigest } from "../digest.ts";
import { layerCompression } from "../media-types.ts";
import type { BlobReader, BlobStore } from "../source.ts";
import { layerStream } from "../streams.ts";
import { type LayerTask, type SplitRequest, type SplitResult, splitLayers } from "./layer-job.ts";
import { noStatistics, type SplitLayer, type SplitStatistics } from "./layer-splitter.ts";
import type { ImageLayer } from "./pull.ts";

export interface ImportOptions {
  readonly jobs: number;
  readonly progress: Progress;
  /** What the layers must be: tars, or blobs of an artifact that are stored as they are. */
  readonly kind: "tar" | "blob";
  /** Called on each layer as soon as its stream is linked, in no particular order. */
  readonly onLayer?: (id: OciDigest, split: SplitLayer) => void;
}

/** Below this many transported bytes, starting another thread takes longer than the work that it takes over. */
const BYTES_PER_THREAD = 2 * 1024 * 1024;
const PROGRESS_INTERVAL_MS = 100;
/** An image may have more layers than a process may have open files. */
const MAX_OPEN_BLOBS = 128;

/**
 * Imports layers, several at a time, each verified before its stream is linked.
 * @param layers each id once.
 */
export async function importLayers(
  repository: Repository,
  source: BlobStore,
  layers: readonly ImageLayer[],
  options: ImportOptions,
): Promise<SplitStatistics> {
  const statistics = noStatistics();
  if (layers.length === 0) return statistics;
  const largestFirst = [...layers].sort((a, b) => b.descriptor.size - a.descriptor.size);
  const totalBytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  const threads = Math.min(options.jobs, Math.ceil(totalBytes / BYTES_PER_THREAD));
  await using pool = totalBytes < BYTES_PER_THREAD ? undefined : new WorkerPool(threads);
  for (let start = 0; start < largestFirst.length; start += MAX_OPEN_BLOBS) {
    const some = largestFirst.slice(start, start + MAX_OPEN_BLOBS);
    await importSome(repository, source, some, options, pool, statistics);
  }
  return statistics;
}

/** @param pool undefined to do the work in this thread. */
async function importSome(
  repository: Repository,
  source: BlobStore,
  layers: readonly ImageLayer[],
  options: ImportOptions,
  pool: WorkerPool | undefined,
  statistics: SplitStatistics,
): Promise<void> {
  using blobs = new DisposableStack();
  const tasks: LayerTask[] = [];
  for (const layer of layers) {
    tasks.push(layerTask(layer, blobs.use(await source.openBlob(layer.descriptor)), options.kind));
  }

  const progress = new ProgressReader(tasks, options.progress);
  const threads = pool?.size ?? 1;
  const slabs = createSlabs(threads);
  const request = (owner: number): SplitRequest => ({
    store: repository.objects.handle,
    slabs,
    owner,
    layers: tasks,
    progress: progress.shared,
  });
  const onResult = ({ layer, split }: SplitResult) => {
    const { id } = layers[layer]!;
    linkStream(repository, layerStream(id), split.id);
    statistics.newObjects += split.statistics.newObjects;
    statistics.presentObjects += split.statistics.presentObjects;
    statistics.storedBytes += split.statistics.storedBytes;
    statistics.inlinedBytes += split.statistics.inlinedBytes;
    progress.done(layer);
    options.onLayer?.(id, split);
  };

  if (pool === undefined) {
    splitLayers(request(0), onResult);
    return;
  }
  const timer = setInterval(() => progress.report(), PROGRESS_INTERVAL_MS);
  try {
    const requests = Array.from({ length: threads }, (_, owner) => request(owner));
    await pool.run<SplitRequest, void, SplitResult>("split-layers", requests, onResult, () =>
      abortAll(slabs),
    );
  } finally {
    clearInterval(timer);
  }
}

function layerTask({ descriptor, id }: ImageLayer, reader: BlobReader, kind: "tar" | "blob"): LayerTask {
  const compression = kind === "blob" ? "none" : layerCompression(descriptor.mediaType);
  if (compression === undefined) {
    throw new CfsError(
      "Unsupported",
      `layer ${descriptor.digest} has media type ${descriptor.mediaType}, which is no tar layer`,
      { hint: "images have tar layers, plain or compressed with gzip or zstd" },
    );
  }
  const { fd, offset, size } = reader;
  return {
    kind,
    blob: { fd, offset, size, digest: descriptor.digest, compression },
    id,
    label: descriptor.digest,
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
