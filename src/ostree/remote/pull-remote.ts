import { CfsError, describeError } from "../../errors.ts";
import { silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Checksum } from "../checksum.ts";
import type { ObjectLookup } from "../commit-table.ts";
import { pullWithDelta } from "../delta/pull-delta.ts";
import { type PullOptions, type PullReport, pullCommit } from "../pull/pull.ts";
import { listCompleteCommits } from "../resolve.ts";
import type { OstreeSource } from "../source.ts";
import { commitOfRef, openCompleteCommit } from "../stored-commit.ts";
import { findDelta, type LocalCommits } from "./remote-delta.ts";
import type { RemoteRepository } from "./remote-repository.ts";

export interface RemotePullReport extends PullReport {
  /** Of the static delta that was used. */
  readonly deltaParts?: number;
}

/**
 * As `pullCommit`, by a static delta where the repository has one that helps. A delta that can't be used is no failure:
 * the objects are fetched then.
 * @param source that of `remote`, or one that checks what it gives.
 */
export async function pullFromRemote(
  repository: Repository,
  source: OstreeSource,
  remote: RemoteRepository,
  commit: Checksum,
  options: PullOptions,
): Promise<RemotePullReport> {
  const { progress = silentProgress } = options;
  // A delta brings all of a commit.
  if (options.subpaths === undefined && openTable(repository, commit) === undefined) {
    try {
      const delta = await findDelta(remote, commit, localCommits(repository, options));
      if (delta !== undefined) {
        const report = await pullWithDelta(repository, source, delta, options);
        progress.event({ type: "message", text: "Using static delta" });
        return { ...report, deltaParts: delta.superblock.parts.length };
      }
    } catch (error) {
      if (!mayDoWithout(error)) throw error;
      const text = `the static delta can't be used: ${describeError(error)}; fetching objects instead`;
      progress.event({ type: "message", text });
    }
  }
  return pullCommit(repository, source, commit, options);
}

function mayDoWithout(error: unknown): boolean {
  return (
    error instanceof CfsError &&
    ["Corrupt", "NotFound", "Network", "Unsupported", "Invalid"].includes(error.kind)
  );
}

function localCommits(repository: Repository, { ref, baseName, bases = [] }: PullOptions): LocalCommits {
  const named = [ref, baseName].flatMap((name) => {
    return (name === undefined ? undefined : commitOfRef(repository, name)) ?? [];
  });
  const complete = new Set(listCompleteCommits(repository));
  const useful = [...new Set([...named, ...bases])].filter((commit) => complete.has(commit));
  return {
    all: [...useful, ...complete],
    open: (commit) => openTable(repository, commit),
    bases: useful,
  };
}

function openTable(repository: Repository, commit: Checksum): ObjectLookup | undefined {
  try {
    return openCompleteCommit(repository, commit)?.table;
  } catch (error) {
    // What is damaged is as good as missing.
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}
