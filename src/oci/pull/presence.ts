import { CfsError } from "../../errors.ts";
import { ObjectChecklist } from "../../repository/presence.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStream } from "../../repository/streams.ts";
import type { OciDigest } from "../digest.ts";
import { layerStream } from "../streams.ts";

/**
 * Whether the streams of all layers are there and readable, and no object that they refer to is missing.
 * @param checklist objects that have to be there as well.
 */
export function areLayersComplete(
  repository: Repository,
  ids: Iterable<OciDigest>,
  checklist = new ObjectChecklist(repository),
): boolean {
  try {
    for (const id of new Set(ids)) {
      using stream = openStream(repository, layerStream(id));
      checklist.addAll(stream.reader.objectRefs.bytes);
    }
    return checklist.areAllPresent();
  } catch (error) {
    // Whatever is wrong with one, importing it again puts it right.
    if (error instanceof CfsError) return false;
    throw error;
  }
}
