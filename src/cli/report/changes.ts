import type { MeasuredRepository } from "../usage/measure.ts";

/** Two tags of the same name, one after the other. */
export interface TagChange {
  /** Numbers of the roots. */
  readonly from: number;
  readonly to: number;
  /** Bytes that only the newer one needs, and only the older one. */
  readonly added: number;
  readonly dropped: number;
}

/** What changed from one tag of an image to the next: names that are the same up to the last colon belong together. */
export function tagChanges({ roots, usage }: MeasuredRepository): TagChange[] {
  const families = new Map<string, number[]>();
  for (const [number, { names, kind }] of roots.entries()) {
    if (kind !== "container") continue;
    for (const family of new Set(names.map(familyOf)))
      families.set(family, [...(families.get(family) ?? []), number]);
  }
  return [...families.values()].flatMap((members) => {
    if (members.length < 2) return [];
    const shared = usage.sharedBytes(members);
    return members.slice(1).map((to, i) => ({
      from: members[i]!,
      to,
      added: shared[i + 1]![i + 1]! - shared[i]![i + 1]!,
      dropped: shared[i]![i]! - shared[i]![i + 1]!,
    }));
  });
}

/** A name without its tag; a colon before the last slash belongs to a port. */
function familyOf(name: string): string {
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  return colon < 0 ? name : name.slice(0, colon);
}
