import { CfsError } from "../../errors.ts";
import { acquireJobs } from "../../parallel/jobs.ts";
import { silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import type { ObjectLookup } from "../commit-table.ts";
import { parseCommit } from "../objects.ts";
import { type PullOptions, type PullReport, pullCommit } from "../pull/pull.ts";
import type { OstreeSource } from "../source.ts";
import { openCompleteCommit } from "../stored-commit.ts";
import { applyParts } from "./apply-parts.ts";
import type { StoredPart } from "./part-content.ts";
import { countObjects, type Superblock } from "./superblock.ts";

/** A static delta that can be applied. */
export interface Delta {
  readonly superblock: Superblock;
  /**
   * A part, be it in the superblock or a file of at most `storedSize` bytes. It is verified afterwards.
   * @param signal fires when the work has failed otherwise.
   */
  readonly readPart: (index: number, signal: AbortSignal) => Promise<StoredPart>;
}

/**
 * Brings the commit that a delta leads to into the repository, as `pullCommit` does: the stream and the image are the
 * same, and nothing is linked before it is proven that nothing is missing.
 * @param source has what the delta does not bring, such as its fallback objects.
 * @returns a report that counts the objects in the delta; 0 when the commit was there already.
 * @throws CfsError NotFound when the commit that the delta leads from is not in the repository.
 */
export async function pullWithDelta(
  repository: Repository,
  source: OstreeSource,
  delta: Delta,
  options: PullOptions = {},
): Promise<PullReport> {
  const { superblock } = delta;
  const { from, to } = superblock;
  const { onCommit, ...rest } = options;
  let objects: ObjectLookup | undefined;
  const report = await pullCommit(repository, source, to, {
    ...rest,
    bases: [...(from === undefined ? [] : [from]), ...(options.bases ?? [])],
    bringIn: async () => {
      if (objects !== undefined) return objects;
      await onCommit?.(parseCommit(superblock.commit));
      objects = await bringIn(repository, delta, options);
      return objects;
    },
  });
  return report.unchanged ? report : { ...report, ...countObjects(superblock) };
}

async function bringIn(
  repository: Repository,
  { superblock, readPart }: Delta,
  { jobs, progress = silentProgress }: PullOptions,
): Promise<ObjectLookup> {
  const { from, to, parts } = superblock;
  const base = from === undefined ? undefined : openCompleteCommit(repository, from);
  if (from !== undefined && base === undefined) {
    throw new CfsError("NotFound", `base commit ${from} not found in repository`, {
      hint: "pull it first, or pull without the delta",
    });
  }
  using allowance = acquireJobs(jobs);
  const totalBytes = parts.reduce((sum, { contentSize }) => sum + contentSize, 0);
  const id = `delta ${to}`;
  let bytes = 0;
  progress.event({ type: "start", id, label: `delta ${to.slice(0, 12)}`, totalBytes });
  const objects = await applyParts(repository, superblock, base?.table, {
    jobs: allowance.count,
    readPart,
    onPart: (size) => {
      bytes += size;
      progress.event({ type: "advance", id, bytes });
    },
  });
  progress.event({ type: "done", id, label: `${parts.length} delta parts`, bytes });
  return objects;
}
