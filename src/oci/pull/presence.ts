import { CfsError } from "../../errors.ts";
import { ObjectChecklist } from "../../repository/presence.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStream } from "../../repository/streams.ts";
import type { OciDigest } from "../digest.ts";
import { layerStream } from "../streams.ts";

/** `areStreamsComplete` of the streams of layers. */
export function areLayersComplete(
  repository: Repository,
  ids: Iterable<OciDigest>,
  checklist?: ObjectChecklist,
): boolean {
  return areStreamsComplete(repository, [...new Set(ids)].map(layerStream), checklist);
}

/**
 * Whether the streams are all there and readable, and no object that they refer to is missing.
 * @param checklist objects that have to be there as well.
 */
export function areStreamsComplete(
  repository: Repository,
  names: Iterable<string>,
  checklist = new ObjectChecklist(repository),
): boolean {
  try {
    for (const name of names) {
      using stream = openStream(repository, name);
      checklist.addAll(stream.reader.objectRefs.bytes);
    }
    return checklist.areAllPresent();
  } catch (error) {
    // Whatever is wrong with one, importing it again puts it right.
    if (error instanceof CfsError) return false;
    throw error;
  }
}
