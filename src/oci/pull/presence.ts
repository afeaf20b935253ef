import { CfsError } from "../../errors.ts";
import { ObjectChecklist } from "../../repository/presence.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStream } from "../../repository/streams.ts";
import { CONTENT_LAYER } from "../../splitstream/format.ts";
import type { OciDigest } from "../digest.ts";
import { layerStream } from "../streams.ts";

/** `areStreamsComplete` of layers of container images: what artifacts have of the same bytes is no tar yet. */
export function areLayersComplete(
  repository: Repository,
  ids: Iterable<OciDigest>,
  checklist?: ObjectChecklist,
): boolean {
  return areStreamsComplete(repository, [...new Set(ids)].map(layerStream), {
    checklist,
    type: CONTENT_LAYER,
  });
}

export interface PresenceOptions {
  /** Objects that have to be there as well. */
  readonly checklist?: ObjectChecklist | undefined;
  /** Content type that the streams must have. */
  readonly type?: string;
}

/** Whether the streams are all there and readable, and no object that they refer to is missing. */
export function areStreamsComplete(
  repository: Repository,
  names: Iterable<string>,
  { checklist = new ObjectChecklist(repository), type }: PresenceOptions = {},
): boolean {
  try {
    for (const name of names) {
      using stream = openStream(repository, name);
      if (type !== undefined) stream.reader.expectContentType(type);
      checklist.addAll(stream.reader.objectRefs.bytes);
    }
    return checklist.areAllPresent();
  } catch (error) {
    // Whatever is wrong with one, importing it again puts it right.
    if (error instanceof CfsError) return false;
    throw error;
  }
}
