import { createSlabs } from "../parallel/slabs.ts";
import { refComponents } from "../repository/names.ts";
import { writeRef } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { linkStream, lookUpStream } from "../repository/streams.ts";
import { libc } from "../sys/libc.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { OciDigest } from "./digest.ts";
import { splitLayers } from "./pull/layer-job.ts";
import { areLayersComplete } from "./pull/presence.ts";
import { layerStream } from "./streams.ts";

/**
 * Imports a layer from a plain tar that is read from a descriptor to its end, unless it is in the repository.
 * @param name ref below `streams/refs` to make.
 * @returns the object of the layer's splitstream.
 * @throws CfsError Corrupt when the tar has another digest
 */
export function importLayer(repository: Repository, diffId: OciDigest, fd: number, name?: string): ObjectId {
  if (name !== undefined) refComponents(name);
  repository.ensureWritable();
  const stream = layerStream(diffId);
  const present = lookUpStream(repository, stream);
  if (present !== undefined && areLayersComplete(repository, [diffId])) {
    if (name !== undefined) writeRef(repository, "streams", name, stream);
    return present;
  }
  let imported: ObjectId | undefined;
  splitLayers(
    {
      store: repository.objects.handle,
      slabs: createSlabs(1),
      owner: 0,
      layers: [
        {
          kind: "tar",
          blob: { fd, offset: undefined, size: undefined, digest: undefined, compression: "none" },
          id: diffId,
          label: "read from the input",
        },
      ],
      progress: new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT),
    },
    ({ split }) => {
      if (split.entries !== undefined) libc.close(split.entries.fd);
      imported = split.id;
    },
  );
  linkStream(repository, stream, imported!, name);
  return imported!;
}
