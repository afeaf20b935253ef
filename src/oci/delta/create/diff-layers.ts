import { CfsError, withContext } from "../../../errors.ts";
import { SharedBudget } from "../../../parallel/budget.ts";
import type { WorkerPool } from "../../../parallel/pool.ts";
import type { Progress } from "../../../progress.ts";
import { openStream } from "../../../repository/streams.ts";
import { BlockIndex } from "../../../similarity/block-index.ts";
import type { Directory } from "../../../tree/model.ts";
import { applyOciTransform } from "../../../tree/transform.ts";
import { digestAlgorithm, type OciDigest } from "../../digest.ts";
import { applyLayer, type ExpandSparse, emptyRoot } from "../../layering.ts";
import { hashStream, readStoredLayer } from "../../stored-layer.ts";
import { layerStream } from "../../streams.ts";
import { MAGIC_SIZE, type TarDiffVersion } from "../format.ts";
import { type CompressedFrame, type CompressRequest, compressFrames } from "./compress-frames.ts";
import type { LayerHomes } from "./delta-image.ts";
import { type IndexRequest, indexSources } from "./index-sources.ts";
import { type Body, type MatchedBody, type MatchRequest, matchBodies } from "./match-bodies.ts";
import { ObjectReader } from "./object-reader.ts";
import { type LayerPart, planLayer } from "./plan-layer.ts";
import { ReusableFiles } from "./reusable-files.ts";
import { type Extent, ExtentList, SharedSpool } from "./shared-spool.ts";

export interface DiffLayersOptions {
  /** Diff IDs of the source image. */
  readonly source: readonly OciDigest[];
  /** Diff IDs of the target's layers that the source doesn't have, each once. */
  readonly changed: readonly OciDigest[];
  readonly homes: LayerHomes;
  readonly version: TarDiffVersion;
  readonly level: number | undefined;
  readonly pool: WorkerPool;
  /** An empty file for reading and writing. */
  readonly spool: number;
  readonly progress: Progress;
}

/** The frames of a tar-diff, in the spool. */
export interface DiffedLayer {
  readonly spool: number;
  readonly frames: readonly Extent[];
  /** Bytes of the tar-diff. */
  readonly size: number;
}

/** Below this many bytes, starting another thread takes longer than the work that it takes over. */
const BYTES_PER_THREAD = 2 * 1024 * 1024;
/** Operations in one frame: several threads compress the frames of a layer. */
const FRAME_SIZE = 32 * 1024 * 1024;
/** Threads that compress: each takes some 50 MB. */
const MAX_COMPRESSING = 6;
const PROGRESS_INTERVAL_MS = 100;

/** Finds out how layers are made of the source image's files. */
export async function diffLayers(options: DiffLayersOptions): Promise<ReadonlyMap<OciDigest, DiffedLayer>> {
  const { changed, homes, spool: fd } = options;
  if (changed.length === 0) return new Map();
  const sources = new ReusableFiles(sourceTree(options));
  const spool = SharedSpool.over(fd);
  const bodies: Body[] = [];
  const plans = new Map<OciDigest, LayerPart[]>();
  {
    using reader = new ObjectReader(homes.stores);
    for (const diffId of changed)
      plans.set(diffId, planLayer(homes.homeOf(diffId), diffId, sources, reader, spool, bodies));
  }
  const matched = bodies.length === 0 ? [] : await match(options, sources, bodies, spool);
  const operations = new Map([...plans].map(([diffId, parts]) => [diffId, resolved(parts, matched, spool)]));
  return await compress(options, operations, spool);
}

/** What stands for the content of sparse files, which no layer is made of. */
const LEFT_OUT: ExpandSparse = () => ({ type: "sparse", size: 0n });

/** The tree of the source image, as it is found by who applies the delta. */
function sourceTree({ source, homes }: DiffLayersOptions): Directory {
  const root = emptyRoot();
  for (const diffId of source) {
    try {
      applyLayer(root, readStoredLayer(homes.homeOf(diffId), diffId), LEFT_OUT);
    } catch (error) {
      throw withContext(`layer ${diffId}`, error);
    }
  }
  applyOciTransform(root, "allowlist-only");
  return root;
}

/** @returns for each body its operations. */
async function match(
  options: DiffLayersOptions,
  { files }: ReusableFiles,
  bodies: readonly Body[],
  spool: SharedSpool,
): Promise<(readonly Extent[])[]> {
  const { homes, changed, version, progress, pool } = options;
  const { stores } = homes;
  const { algorithm } = homes.homeOf(changed[0]!);
  const index = BlockIndex.of(files.map(({ size }) => size));
  const { memory } = index;
  const sourceBytes = files.reduce((sum, { size }) => sum + size, 0);
  const bodyBytes = bodies.reduce((sum, { length }) => sum + length, 0);
  const reading = new SharedWork("files of the source image", sourceBytes, progress);
  await reading.run<IndexRequest, void>(
    pool,
    "index-delta-sources",
    {
      stores,
      algorithm,
      files: files.map(({ id, size }) => ({ id, size })),
      index: memory,
      counters: reading.counters,
    },
    indexSources,
  );
  index.finish();
  const matching = new SharedWork("changed files", bodyBytes, progress);
  const request: MatchRequest = {
    stores,
    files,
    index: memory,
    bodies,
    version,
    spool: spool.handle,
    memory: SharedBudget.memory(),
    counters: matching.counters,
  };
  const results = matching.run<MatchRequest, MatchedBody[]>(pool, "match-delta-bodies", request, matchBodies);
  verifyLayers(options);
  const matched: (readonly Extent[])[] = [];
  for (const { body, extents } of (await results).flat()) matched[body] = extents;
  return matched;
}

/** Layers that were here already may be damaged: a delta to them would be of no use. */
function verifyLayers({ homes, changed }: DiffLayersOptions): void {
  for (const diffId of changed) {
    if (homes.isVerified(diffId)) continue;
    const home = homes.homeOf(diffId);
    using stream = openStream(home, layerStream(diffId));
    const found = hashStream(home, stream, digestAlgorithm(diffId));
    if (found === diffId) continue;
    throw new CfsError("Corrupt", `layer ${diffId} has incorrect checksum: computed ${found}`, {
      hint: "find the damaged object with `cfsctl fsck`, remove it and pull the image again",
      data: { expected: diffId, found },
    });
  }
}

/** Work of which threads take one piece after the other. */
class SharedWork {
  /** As the requests have it: the next piece, and the bytes that are done. */
  readonly counters = new SharedArrayBuffer(16);
  readonly #label: string;
  readonly #totalBytes: number;
  readonly #progress: Progress;

  constructor(label: string, totalBytes: number, progress: Progress) {
    this.#label = label;
    this.#totalBytes = totalBytes;
    this.#progress = progress;
  }

  /** @param alone does all of it in this thread, when it isn't much. */
  async run<Request, Result>(
    pool: WorkerPool,
    job: string,
    request: Request,
    alone: (request: Request) => Result,
    maxThreads = pool.size,
  ): Promise<Result[]> {
    const threads = Math.min(pool.size, maxThreads, Math.ceil(this.#totalBytes / BYTES_PER_THREAD));
    const label = this.#label;
    const progress = this.#progress;
    progress.event({ type: "start", id: label, label, totalBytes: this.#totalBytes });
    const counters = new BigInt64Array(this.counters);
    const timer = setInterval(
      () => progress.event({ type: "advance", id: label, bytes: Number(Atomics.load(counters, 1)) }),
      PROGRESS_INTERVAL_MS,
    );
    try {
      const results =
        threads <= 1
          ? [alone(request)]
          : await pool.run<Request, Result>(
              job,
              Array.from({ length: threads }, () => request),
            );
      progress.event({ type: "done", id: label, bytes: this.#totalBytes });
      return results;
    } finally {
      clearInterval(timer);
    }
  }
}

/** Puts the operations of a layer into their order. */
function resolved(
  parts: readonly LayerPart[],
  matched: readonly (readonly Extent[])[],
  spool: SharedSpool,
): ExtentList {
  const list = new ExtentList(spool);
  for (const part of parts)
    for (const extent of typeof part === "number" ? matched[part]! : [part]) list.add(extent);
  return list;
}

async function compress(
  { pool, level: wanted, spool: fd, progress }: DiffLayersOptions,
  operations: ReadonlyMap<OciDigest, ExtentList>,
  spool: SharedSpool,
): Promise<ReadonlyMap<OciDigest, DiffedLayer>> {
  const total = [...operations.values()].reduce((sum, { length }) => sum + length, 0);
  const level = wanted ?? levelFor(total);
  const cut = [...operations].flatMap(([diffId, { extents }]) =>
    cutFrames(extents).map((frame) => ({ diffId, frame })),
  );
  const compressing = new SharedWork("differences", total, progress);
  const results = await compressing.run<CompressRequest, CompressedFrame[]>(
    pool,
    "compress-delta-frames",
    {
      spool: spool.handle,
      frames: cut.map(({ frame }) => frame),
      level,
      counters: compressing.counters,
    },
    compressFrames,
    MAX_COMPRESSING,
  );
  const frames: (readonly Extent[])[] = [];
  for (const { frame, extents } of results.flat()) frames[frame] = extents;
  const layers = new Map<OciDigest, DiffedLayer>();
  for (const diffId of operations.keys()) {
    const list = new ExtentList(spool);
    cut.forEach((one, i) => {
      if (one.diffId === diffId) for (const extent of frames[i]!) list.add(extent);
    });
    layers.set(diffId, { spool: fd, frames: list.extents, size: MAGIC_SIZE + list.length });
  }
  return layers;
}

/** Higher levels save a few percent and take many times as long: the more there is, the lower they are. */
const LEVELS: readonly (readonly [maxBytes: number, level: number])[] = [
  [16 * 1024 * 1024, 19],
  [256 * 1024 * 1024, 12],
  [Number.POSITIVE_INFINITY, 9],
];

function levelFor(bytes: number): number {
  return LEVELS.find(([maxBytes]) => bytes <= maxBytes)![1];
}

/** Also of nothing there is a frame. */
function cutFrames(extents: readonly Extent[]): Extent[][] {
  const frames: Extent[][] = [[]];
  let room = FRAME_SIZE;
  for (const { offset, length } of extents) {
    for (let done = 0; done < length; ) {
      if (room === 0) {
        frames.push([]);
        room = FRAME_SIZE;
      }
      const piece = Math.min(room, length - done);
      frames.at(-1)!.push({ offset: offset + done, length: piece });
      done += piece;
      room -= piece;
    }
  }
  return frames;
}
