import type { Repository } from "../../repository/repository.ts";
import { measureUsage, type RepositoryUsage } from "../../repository/usage/usage.ts";
import { findUsageRoots, type UsageRoot } from "./roots.ts";

/** What a repository holds and for whom. */
export interface MeasuredRepository {
  readonly roots: readonly UsageRoot[];
  /** Its roots are numbered as above. */
  readonly usage: RepositoryUsage;
}

/** @param onUnreadable is told what could not be looked at. */
export function measureRepository(
  repository: Repository,
  onUnreadable: (message: string) => void,
): MeasuredRepository {
  const roots = findUsageRoots(repository, onUnreadable);
  const usage = measureUsage(
    repository,
    roots.map(({ id }) => id),
  );
  for (const [i, { missing, unreadable }] of usage.roots.entries()) {
    const name = roots[i]!.names[0];
    if (unreadable !== undefined) onUnreadable(`${name}: ${unreadable}`);
    if (missing > 0) onUnreadable(`${name}: ${missing} objects that it refers to are missing`);
  }
  return { roots, usage };
}

/** Bytes that all would take if nothing were shared. */
export function bytesWithoutSharing({ usage }: MeasuredRepository): number {
  return usage.roots.reduce((sum, { needs }) => sum + needs.bytes, 0);
}

/** Bytes that are used by something. */
export function usedBytes({ usage }: MeasuredRepository): number {
  return usage.total.bytes - usage.unused.bytes;
}

/** The numbers of the roots that need most, at most so many, in the order of all. */
export function largestRoots({ usage }: MeasuredRepository, count: number): number[] {
  const bytes = (root: number) => usage.roots[root]!.needs.bytes;
  return usage.roots
    .map((_, i) => i)
    .sort((a, b) => bytes(b) - bytes(a) || a - b)
    .slice(0, count)
    .sort((a, b) => a - b);
}
