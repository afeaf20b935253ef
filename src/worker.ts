import type { JobReply, JobRequest } from "./parallel/pool.ts";
import { packError } from "./parallel/transfer.ts";

/** A job takes a payload and gives a result, and may send messages on the way; transferred memory is not copied. */
type Job = (payload: never, emit: (message: unknown, transfer?: ArrayBuffer[]) => void) => unknown;

/** Everything that can be run in a worker, loaded when first asked for. */
const JOBS: Record<string, () => Promise<Job>> = {
  "split-layers": async () => (await import("./oci/pull/layer-job.ts")).splitLayers,
  "pack-blob": async () => (await import("./oci/push/pack-job.ts")).packBlob,
  "copy-layer": async () => (await import("./oci/copy/layer-job.ts")).copyLayerJob,
  "match-objects": async () => (await import("./oci/chunked/match-objects.ts")).matchObjects,
  "index-delta-sources": async () => (await import("./oci/delta/create/index-sources.ts")).indexSources,
  "match-delta-bodies": async () => (await import("./oci/delta/create/match-bodies.ts")).matchBodies,
  "compress-delta-frames": async () => (await import("./oci/delta/create/compress-frames.ts")).compressFrames,
  "check-objects": async () => (await import("./repository/fsck-objects.ts")).checkObjects,
  "check-streams": async () => (await import("./repository/fsck-deep.ts")).checkStreams,
  "apply-delta-part": async () => (await import("./ostree/delta/part-job.ts")).applyPart,
  "make-delta-part": async () => (await import("./ostree/delta/create/make-part.ts")).makePart,
  "store-ostree-files": async () => (await import("./ostree/pull/file-job.ts")).storeFiles,
  "ostree-checksums": async () => (await import("./ostree/commit/checksum-job.ts")).computeChecksums,
  "ostree-export": async () => (await import("./ostree/export/export-job.ts")).exportFiles,
  "ostree-fsck": async () => (await import("./ostree/fsck-job.ts")).checkCommitObjects,
  "hash-files": async () => (await import("./repository/hash-files.ts")).hashFiles,
};

declare const self: Worker;

function reply(message: JobReply, transfer: ArrayBuffer[] = []): void {
  self.postMessage(message, transfer);
}

self.onmessage = async ({ data }: MessageEvent<JobRequest>) => {
  try {
    const load = JOBS[data.job];
    if (load === undefined) throw new Error(`there is no job named ${data.job}`);
    const job = await load();
    const result = await job(data.payload as never, (message, transfer) =>
      reply({ type: "message", message }, transfer),
    );
    reply({ type: "result", result });
  } catch (error) {
    reply({ type: "error", error: packError(error) });
  }
};
