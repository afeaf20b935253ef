import type { JobReply, JobRequest } from "./parallel/pool.ts";
import { packError } from "./parallel/transfer.ts";

/** A job takes a payload and gives a result; both are copied between threads, shared memory is not. */
type Job = (payload: never) => unknown;

/** Everything that can be run in a worker, loaded when first asked for. */
const JOBS: Record<string, () => Promise<Job>> = {
  "split-layers": async () => (await import("./oci/pull/layer-job.ts")).splitLayers,
};

declare const self: Worker;

self.onmessage = async ({ data }: MessageEvent<JobRequest>) => {
  let reply: JobReply;
  try {
    const load = JOBS[data.job];
    if (load === undefined) throw new Error(`no job ${data.job}`);
    const job = await load();
    reply = { ok: true, result: await job(data.payload as never) };
  } catch (error) {
    reply = { ok: false, error: packError(error) };
  }
  self.postMessage(reply);
};
