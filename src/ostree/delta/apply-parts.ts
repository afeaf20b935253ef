import { WorkerPool } from "../../parallel/pool.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Checksum } from "../checksum.ts";
import type { CommitTable, ObjectLookup, StoredObject } from "../commit-table.ts";
import { type BaseHandle, shareTable } from "./base-files.ts";
import { type PackedObjects, unpackObjects } from "./packed-objects.ts";
import type { StoredPart } from "./part-content.ts";
import { applyPart, type PartJob } from "./part-job.ts";
import type { Superblock } from "./superblock.ts";

export interface ApplyOptions {
  /** Threads. */
  readonly jobs: number;
  /** Gets a part; several at a time. */
  readonly readPart: (index: number, signal: AbortSignal) => Promise<StoredPart>;
  /** Told when a part is done: bytes of content of its objects. */
  readonly onPart?: (contentSize: number) => void;
}

/** Parts with less content in all are not worth another thread. */
const ALONE_SIZE = 512 * 1024;

/**
 * Makes the objects of all parts of a delta, and stores the content of files. Each object has been compared with its
 * checksum; that they are all that the commit needs is for the caller to find out.
 * @param base the commit that the delta leads from.
 */
export async function applyParts(
  repository: Repository,
  { parts, commit, to }: Superblock,
  base: CommitTable | undefined,
  options: ApplyOptions,
): Promise<ObjectLookup> {
  const objects = new Map<Checksum, StoredObject>([[to, { data: commit, external: undefined }]]);
  const handle = base && shareTable(base);
  const size = parts.reduce((sum, part) => sum + part.contentSize + part.storedSize, 0);
  const threads = size <= ALONE_SIZE ? 0 : Math.min(options.jobs, parts.length);
  await using pool = threads > 0 ? new WorkerPool(threads) : undefined;
  const abort = new AbortController();
  let next = 0;
  const drive = async () => {
    while (next < parts.length && !abort.signal.aborted) {
      const index = next++;
      const part = parts[index]!;
      const stored = await options.readPart(index, abort.signal);
      const packed = await apply(repository, pool, handle, { ...part, index, stored });
      const made = unpackObjects(packed, repository.algorithm);
      for (const [i, object] of made.entries()) objects.set(part.objects[i]!.checksum, object);
      options.onPart?.(part.contentSize);
    }
  };
  // One more than threads, so that a part is read while others are applied.
  const drivers = Array.from({ length: Math.min(threads + 1, parts.length) }, () =>
    drive().catch((error: unknown) => {
      abort.abort();
      throw error;
    }),
  );
  const results = await Promise.allSettled(drivers);
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
  return { find: (checksum) => objects.get(checksum) };
}

type WantedPart = Superblock["parts"][number] & { readonly index: number; readonly stored: StoredPart };

async function apply(
  repository: Repository,
  pool: WorkerPool | undefined,
  base: BaseHandle | undefined,
  { index, checksum, contentSize, objects, stored }: WantedPart,
): Promise<PackedObjects> {
  const job: PartJob = {
    store: repository.objects.handle,
    index,
    checksum,
    contentSize,
    objects,
    stored,
    base,
  };
  if (pool === undefined) return await applyPart(job);
  const memory = "fd" in stored ? [] : [stored.buffer];
  return await pool.submit<PartJob, PackedObjects>("apply-delta-part", job, memory);
}
