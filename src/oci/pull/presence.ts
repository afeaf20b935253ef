import { CfsError } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStream } from "../../repository/streams.ts";
import type { OciDigest } from "../digest.ts";
import { layerStream } from "../streams.ts";

/** Whether the stream of a layer is there, readable, and no object that it refers to is missing. */
export function isLayerComplete(repository: Repository, id: OciDigest): boolean {
  try {
    using stream = openStream(repository, layerStream(id));
    for (const object of stream.reader.objectRefs) {
      if (!repository.objects.has(object)) return false;
    }
    return true;
  } catch (error) {
    // Whatever is wrong with it, importing the layer again puts it right.
    if (error instanceof CfsError) return false;
    throw error;
  }
}
