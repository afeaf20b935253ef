import { display } from "../bytes.ts";
import { isObjectId, type ObjectId } from "../verity/digest.ts";
import type { Finding } from "./findings.ts";
import { findKeepers } from "./keepers.ts";
import { ReferenceGraph } from "./live-objects.ts";
import { REFS } from "./names.ts";
import type { Repository } from "./repository.ts";

/** A finding and the refs that lead to what is wrong, as paths below the repository, sorted. */
export interface AffectedFinding extends Finding {
  readonly affected: readonly string[];
}

/** Adds to each finding what it means for whoever uses the repository: which refs need what is damaged. */
export function findAffected(repository: Repository, findings: readonly Finding[]): AffectedFinding[] {
  if (findings.length === 0) return [];
  const objects = new Set(findings.flatMap((finding) => objectsOf(repository, finding)));
  const keepers = findKeepers(repository, objects);
  const byEntry = Map.groupBy(
    new ReferenceGraph(repository).roots(),
    ({ category, entry }) => `${category}/${entry}`,
  );
  return findings.map((finding) => {
    const roots = [
      ...objectsOf(repository, finding)
        .flatMap((id) => keepers.get(id) ?? [])
        .map(({ root }) => root),
      ...(byEntry.get(finding.path) ?? []).map(({ path }) => path),
      ...(isRef(finding) ? [display(finding.path)] : []),
    ];
    return { ...finding, affected: [...new Set(roots)].sort() };
  });
}

function isRef({ link }: Finding): boolean {
  return link?.name.startsWith(`${REFS}/`) ?? false;
}

/** The objects whose users a finding concerns. */
function objectsOf({ algorithm }: Repository, { object, link }: Finding): ObjectId[] {
  const found = object === undefined ? [] : [object];
  // The name of a link to an image says which image it is for.
  if (link?.category === "images" && isObjectId(link.name, algorithm)) found.push(link.name);
  return found;
}

/** All refs that are affected by anything, sorted. */
export function allAffected(findings: readonly AffectedFinding[]): string[] {
  return [...new Set(findings.flatMap(({ affected }) => affected))].sort();
}
