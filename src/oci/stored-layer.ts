import { byteString } from "../bytes.ts";
import type { Repository } from "../repository/repository.ts";
import { openStream } from "../repository/streams.ts";
import { CONTENT_LAYER } from "../splitstream/format.ts";
import { readLayer } from "../tar/read-back.ts";
import type { OciDigest } from "./digest.ts";
import type { LayerContent, LayerEntry } from "./layer-entries.ts";
import { layerStream } from "./streams.ts";

/**
 * The entries of a layer that is in the repository. Each is valid until the next one is asked for.
 * @throws CfsError NotFound, Corrupt
 */
export function* readStoredLayer(repository: Repository, diffId: OciDigest): Generator<LayerEntry> {
  using stream = openStream(repository, layerStream(diffId));
  stream.reader.expectContentType(CONTENT_LAYER);
  for (const { entry, inline, object } of readLayer(stream.reader.chunks())) {
    let content: LayerContent | undefined;
    if (object !== undefined) content = { type: "object", id: object, size: entry.size };
    else if (entry.type === "file") content = { type: "inline", data: byteString(inline) };
    yield { entry, content };
  }
}
