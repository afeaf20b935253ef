import { display } from "../bytes.ts";
import { type ObjectId, objectPath } from "../verity/digest.ts";
import { ReferenceGraph } from "./live-objects.ts";
import type { Repository } from "./repository.ts";

/** One way in which a ref keeps an object alive. */
export interface Keeper {
  /** The ref, as a path below the repository. */
  readonly root: string;
  /** What leads from the ref to the object, both left out: `streams/ID`, `images/HEX` or `objects/xx/…`. */
  readonly via: readonly string[];
}

/**
 * The refs that need one of some objects, and how; one way for each ref and object. Refs that can't be read are
 * passed over: who wants to know about them runs a check.
 */
export function findKeepers(repository: Repository, objects: ReadonlySet<ObjectId>): Map<ObjectId, Keeper[]> {
  const graph = new ReferenceGraph(repository);
  const { size } = repository.algorithm;
  const keepers = new Map<ObjectId, Keeper[]>();
  for (const root of graph.roots()) {
    const holders = new Map<ObjectId, ObjectId | undefined>();
    const onVisit = (id: ObjectId, holder: ObjectId | undefined) => {
      // The first way found leads upwards to the root; a later one could lead in a circle.
      if (!holders.has(id)) holders.set(id, holder);
    };
    const visitor = {
      one: onVisit,
      many(digests: Buffer, holder: ObjectId) {
        for (let at = 0; at < digests.length; at += size)
          onVisit(digests.hexSlice(at, at + size) as ObjectId, holder);
      },
    };
    graph.walk(root, new Set(), visitor, () => undefined);
    for (const object of objects) {
      if (!holders.has(object)) continue;
      const via: string[] = [];
      for (let id = holders.get(object); id !== undefined; id = holders.get(id)) {
        via.unshift(
          nameOf(graph, id, id === root.id ? `${root.category}/${display(root.entry)}` : undefined),
        );
      }
      const known = keepers.get(object) ?? [];
      keepers.set(object, [...known, { root: root.path, via }]);
    }
  }
  return keepers;
}

function nameOf(graph: ReferenceGraph, id: ObjectId, rootEntry: string | undefined): string {
  if (rootEntry !== undefined) return rootEntry;
  const stream = graph.streamName(id);
  return stream === undefined ? `objects/${objectPath(id)}` : `streams/${display(stream)}`;
}
