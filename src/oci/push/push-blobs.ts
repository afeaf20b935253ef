import { acquireJobs } from "../../parallel/jobs.ts";
import { WorkerPool } from "../../parallel/pool.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { pwriteAll } from "../../sys/file.ts";
import { libc } from "../../sys/libc.ts";
import type { OciDigest } from "../digest.ts";
import type { StoredImage } from "../image.ts";
import { SharedProgress } from "../shared-progress.ts";
import { type LayerPlan, type Packing, planLayers } from "./layer-plan.ts";
import { type PackedBlob, type PackRequest, packBlob } from "./pack-job.ts";
import { originalPublication, type PublishedLayer, repackedManifest } from "./repacked-manifest.ts";
import type { BlobOutcome, Publication, PushTarget } from "./target.ts";

export interface PushOptions extends Packing {
  /** Threads; see `acquireJobs` for the default. */
  readonly jobs?: number;
  readonly progress?: Progress;
}

export interface PushedLayer extends PublishedLayer {
  /** As the repository's manifest has it. */
  readonly original: OciDigest;
  /** It is published byte for byte as it was pulled. */
  readonly asPulled: boolean;
  readonly outcome: BlobOutcome;
}

export interface PushedImage {
  /** What is still to be published. */
  readonly document: Publication;
  readonly config: OciDigest;
  readonly layers: readonly PushedLayer[];
  /** The manifest is the one in the repository, byte for byte. */
  readonly isOriginal: boolean;
}

/** Below this many bytes, starting another thread takes longer than the work that it takes over. */
const BYTES_PER_THREAD = 2 * 1024 * 1024;

/** Brings the layers and the config of an image to where it is pushed. */
export async function pushBlobs(
  repository: Repository,
  image: StoredImage,
  target: PushTarget,
  options: PushOptions,
): Promise<PushedImage> {
  const { manifest, config } = image;
  const plans = planLayers(repository, image, options, (digest) => {
    const text = `the blob ${digest} that was kept is damaged: the layer is packed anew; oci pull --keep-blobs mends it`;
    options.progress?.event({ type: "message", text });
  });
  const byDigest = new Map(plans.map((plan) => [plan.original.digest, plan]));
  const pushed = await pushLayers(repository, [...byDigest.values()], target, options);
  await pushBytes(target, manifest.config.digest, config.document.bytes);
  const layers = plans.map(({ original }) => pushed.get(original.digest)!);
  const isOriginal = layers.every(({ asPulled }) => asPulled);
  return {
    document: isOriginal ? originalPublication(manifest) : repackedManifest(manifest, layers),
    config: manifest.config.digest,
    layers,
    isOriginal,
  };
}

/**
 * Each thread brings a layer all the way before it begins with the next one: no more of them than there are threads
 * take space on the disk.
 */
async function pushLayers(
  repository: Repository,
  plans: readonly LayerPlan[],
  target: PushTarget,
  options: PushOptions,
): Promise<ReadonlyMap<OciDigest, PushedLayer>> {
  const tasks = plans.map(({ original: { digest }, size }) => ({ id: digest, label: digest, size }));
  using progress = new SharedProgress(tasks, options.progress ?? silentProgress);
  using jobs = acquireJobs(options.jobs);
  const bytes = plans.reduce((sum, { size }) => sum + size, 0);
  const threads = Math.min(jobs.count, plans.length, Math.ceil(bytes / BYTES_PER_THREAD));
  const turns = target.inOrder ? new Turns(plans.length) : undefined;
  const pushed = new Map<OciDigest, PushedLayer>();
  let next = 0;
  let failure: { error: unknown } | undefined;

  const pushOne = async (index: number, pool: WorkerPool | undefined) => {
    const plan = plans[index]!;
    const request: PackRequest = {
      store: repository.objects.handle,
      stream: plan.stream,
      contentType: plan.contentType,
      digest: plan.digest,
      compression: plan.compression,
      level: options.level,
      directory: target.temporaryDirectory,
      progress: progress.shared,
      index,
    };
    const pack = async () =>
      pool === undefined
        ? packBlob(request)
        : (await pool.run<PackRequest, PackedBlob>("pack-blob", [request]))[0]!;
    const layer = await pushLayer(plan, target, pack, async () => turns?.wait(index));
    pushed.set(plan.original.digest, layer);
    progress.done(index, layer.outcome === "written" ? undefined : LABELS[layer.outcome]);
    turns?.pass(index);
  };
  const run = async () => {
    await using pool = threads > 1 || bytes >= BYTES_PER_THREAD ? new WorkerPool(1) : undefined;
    while (next < plans.length && failure === undefined) {
      const index = next++;
      try {
        await pushOne(index, pool);
      } catch (error) {
        failure ??= { error };
        turns?.end(index, error);
        target.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(threads, 1) }, run));
  if (failure !== undefined) throw failure.error;
  return pushed;
}

const LABELS = { present: "already present", mounted: "taken from another repository" } as const;

/** @param ready fulfilled when it is this layer's turn to be written. */
async function pushLayer(
  plan: LayerPlan,
  target: PushTarget,
  pack: () => Promise<PackedBlob>,
  ready: () => Promise<void>,
): Promise<PushedLayer> {
  const { original, asPulled, mediaType } = plan;
  const known = { mediaType, original: original.digest, asPulled };
  if (asPulled) {
    const { digest, size } = original;
    const outcome = await target.findBlob(digest, size);
    if (outcome !== undefined) return { ...known, digest, size, outcome };
  }
  const blob = await pack();
  try {
    const { digest, size } = blob;
    // Only now the digest of what was compressed is known.
    const found = asPulled ? undefined : await target.findBlob(digest, size);
    if (found === undefined) {
      await ready();
      await target.putBlob(blob);
    }
    return { ...known, digest, size, outcome: found ?? "written" };
  } finally {
    libc.close(blob.fd);
  }
}

async function pushBytes(target: PushTarget, digest: OciDigest, bytes: Uint8Array): Promise<void> {
  if ((await target.findBlob(digest, bytes.length)) !== undefined) return;
  const fd = openTemporary(target.temporaryDirectory);
  try {
    pwriteAll(fd, bytes, 0, "temporary file");
    await target.putBlob({ digest, size: bytes.length, fd, isTemporary: false });
  } finally {
    libc.close(fd);
  }
}

/** Lets numbered tasks go on one after another. */
class Turns {
  readonly #passed: readonly PromiseWithResolvers<void>[];

  constructor(count: number) {
    this.#passed = Array.from({ length: count }, () => Promise.withResolvers<void>());
    // Nobody may be waiting when something fails.
    for (const { promise } of this.#passed) promise.catch(() => undefined);
  }

  /** @throws the error of a task before it. */
  async wait(index: number): Promise<void> {
    if (index > 0) await this.#passed[index - 1]!.promise;
  }

  pass(index: number): void {
    const before = index === 0 ? Promise.resolve() : this.#passed[index - 1]!.promise;
    this.#passed[index]!.resolve(before);
  }

  end(index: number, error: unknown): void {
    this.#passed[index]!.reject(error);
  }
}
