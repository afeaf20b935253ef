import { CfsError } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Checksum } from "../checksum.ts";
import { commitOfTable } from "../describe-objects.ts";
import type { OstreeSource } from "../source.ts";
import { openCommit } from "../stored-commit.ts";
import { type PullOptions, type PullReport, pullCommit } from "./pull.ts";

/**
 * Pulls ancestors of a commit that is in the repository, from its parent on. A parent that the source does not have
 * is the end of the history, as in a repository that itself was pulled without it.
 * @param depth how many of them, at most.
 */
export async function pullHistory(
  repository: Repository,
  source: OstreeSource,
  commit: Checksum,
  depth: number,
  options: Omit<PullOptions, "ref">,
): Promise<PullReport[]> {
  const reports: PullReport[] = [];
  let current = commit;
  while (reports.length < depth) {
    const parent = parentOf(repository, current);
    if (parent === undefined || !(await hasCommit(source, parent))) break;
    const bases = [current, ...(options.bases ?? [])];
    reports.push(await pullCommit(repository, source, parent, { ...options, bases }));
    current = parent;
  }
  return reports;
}

function parentOf(repository: Repository, commit: Checksum): Checksum | undefined {
  const stored = openCommit(repository, commit);
  return stored === undefined ? undefined : commitOfTable(stored.table).parent;
}

async function hasCommit(source: OstreeSource, commit: Checksum): Promise<boolean> {
  try {
    await source.readMetadata("commit", commit);
    return true;
  } catch (error) {
    if (error instanceof CfsError && error.kind === "NotFound") return false;
    throw error;
  }
}
