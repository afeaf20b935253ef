import { acquireJobs } from "../../../parallel/jobs.ts";
import { WorkerPool } from "../../../parallel/pool.ts";
import { type Progress, silentProgress } from "../../../progress.ts";
import type { Repository } from "../../../repository/repository.ts";
import { openTemporary } from "../../../repository/temporary.ts";
import { Fd } from "../../../sys/fd.ts";
import type { OciDigest } from "../../digest.ts";
import type { PushTarget } from "../../push/target.ts";
import type { TarDiffVersion } from "../format.ts";
import { type DeltaImage, LayerHomes } from "./delta-image.ts";
import { diffLayers } from "./diff-layers.ts";
import { type ChosenLayer, publishDelta } from "./publish-delta.ts";

export interface CreateDeltaOptions {
  readonly version: TarDiffVersion;
  /** Of zstd; what fits the size unless given. */
  readonly level?: number | undefined;
  /** Give the delta the destination's tag; else it is found only by its digest, and as a referrer of the target. */
  readonly isTagged: boolean;
  /** Threads; see `acquireJobs` for the default. */
  readonly jobs?: number | undefined;
  readonly progress?: Progress;
}

/** A layer of the target, and how the delta has it. */
export interface DeltaLayerReport {
  /** As the target's manifest has it. */
  readonly digest: OciDigest;
  readonly diffId: OciDigest;
  readonly size: number;
  /** What is in the delta; undefined when the source image has the layer. */
  readonly delta: ChosenLayer | undefined;
}

export interface CreatedDelta {
  /** Of the delta. */
  readonly manifest: OciDigest;
  readonly source: { readonly manifest: OciDigest; readonly config: OciDigest };
  readonly target: { readonly manifest: OciDigest; readonly config: OciDigest };
  /** In the order of the target. */
  readonly layers: readonly DeltaLayerReport[];
}

/**
 * Makes a delta: an artifact by which who has the source image gets the target image. The same images give the same
 * delta, with any number of threads.
 * @param repository may have layers of the images.
 * @param temporary a repository for layers that have to be brought here; asked for when there are any.
 * @throws CfsError NotFound, Corrupt, Invalid, Unsupported; what the target throws
 */
export async function createDelta(
  source: DeltaImage,
  target: DeltaImage,
  destination: PushTarget,
  repository: Repository | undefined,
  temporary: () => Repository,
  options: CreateDeltaOptions,
): Promise<CreatedDelta> {
  const { progress = silentProgress, version, level } = options;
  using jobs = acquireJobs(options.jobs);
  const known = new Set(source.config.diffIds);
  const changed = new Set(target.config.diffIds.filter((diffId) => !known.has(diffId)));
  const homes = new LayerHomes(repository, temporary);
  const work = { jobs: jobs.count, progress };
  if (changed.size > 0) await homes.bring(source, () => true, work);
  await homes.bring(target, (diffId) => changed.has(diffId), work);
  await using pool = new WorkerPool(jobs.count);
  using spool = new Fd(openTemporary(destination.temporaryDirectory), "temporary file");
  const made = await diffLayers({
    source: source.config.diffIds,
    changed: [...changed],
    homes,
    version,
    level,
    pool,
    spool: spool.fd,
    progress,
  });
  return await publishDelta(source, target, made, destination, options);
}
