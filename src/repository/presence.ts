import { openDirectory, readDirectory } from "../sys/dir.ts";
import { ENOENT, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { Repository } from "./repository.ts";

/** Ids looked at together: bounds the memory, and is enough for listing directories to pay. */
const BATCH = 65_536;
/** Below this many ids in one directory they are asked for one by one. */
const MIN_LISTED = 8;
/** A directory that holds this many times the names wanted is not read to its end. */
const MAX_LISTED_RATIO = 16;

/**
 * Whether all objects are in the repository. Reading a directory of `objects/` takes as long as asking for six of its
 * files, so the ids are sorted by directory first.
 */
export function hasAllObjects(repository: Repository, ids: Iterable<ObjectId>): boolean {
  let buckets = new Map<string, ObjectId[]>();
  let count = 0;
  for (const id of ids) {
    const prefix = id.slice(0, 2);
    const bucket = buckets.get(prefix);
    if (bucket === undefined) buckets.set(prefix, [id]);
    else bucket.push(id);
    if (++count % BATCH === 0) {
      if (!hasBuckets(repository, buckets)) return false;
      buckets = new Map();
    }
  }
  return hasBuckets(repository, buckets);
}

function hasBuckets(repository: Repository, buckets: ReadonlyMap<string, readonly ObjectId[]>): boolean {
  for (const [prefix, ids] of buckets) {
    const names = ids.length < MIN_LISTED ? undefined : namesBelow(repository, prefix, ids.length);
    const isPresent =
      names === undefined
        ? (id: ObjectId) => repository.objects.has(id)
        : (id: ObjectId) => names.has(id.slice(2));
    if (!ids.every(isPresent)) return false;
  }
  return true;
}

/** Names in `objects/PREFIX`; undefined when there are far more than wanted. */
function namesBelow(repository: Repository, prefix: string, wanted: number): Set<string> | undefined {
  const names = new Set<string>();
  let opened: Fd;
  try {
    opened = openDirectory(repository.dir.fd, `objects/${prefix}`);
  } catch (error) {
    if (isErrno(error, ENOENT)) return names;
    throw error;
  }
  using directory = opened;
  for (const { name } of readDirectory(directory)) {
    names.add(name);
    if (names.size > wanted * MAX_LISTED_RATIO) return undefined;
  }
  return names;
}
