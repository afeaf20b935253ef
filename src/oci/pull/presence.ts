import { CfsError } from "../../errors.ts";
import { hasAllObjects } from "../../repository/presence.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStream } from "../../repository/streams.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { OciDigest } from "../digest.ts";
import { layerStream } from "../streams.ts";

/** Whether the streams of all layers are there and readable, and no object that they refer to is missing. */
export function areLayersComplete(repository: Repository, ids: readonly OciDigest[]): boolean {
  try {
    return hasAllObjects(repository, objectsOf(repository, new Set(ids)));
  } catch (error) {
    // Whatever is wrong with one, importing it again puts it right.
    if (error instanceof CfsError) return false;
    throw error;
  }
}

function* objectsOf(repository: Repository, ids: Iterable<OciDigest>): Generator<ObjectId> {
  for (const id of ids) {
    using stream = openStream(repository, layerStream(id));
    yield* stream.reader.objectRefs;
  }
}
