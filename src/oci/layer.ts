import { CfsError, withContext } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { copyStream, lookUpStream, type OpenStream, openStreamObject } from "../repository/streams.ts";
import { CONTENT_LAYER } from "../splitstream/format.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { OciDigest } from "./digest.ts";
import { dumpLayer } from "./layer-dump.ts";
import { sparseExpander } from "./sparse.ts";
import { layerEntries } from "./stored-layer.ts";
import { layerStream } from "./streams.ts";

export interface LayerSummary {
  readonly diffId: OciDigest;
  /** Object of the splitstream. */
  readonly verity: ObjectId;
  /** Bytes of the tar. */
  readonly size: number;
  readonly entryCount: number;
  /** Distinct objects. */
  readonly externalObjects: number;
  /** Bytes of the bodies that are objects; the same one as often as it occurs. */
  readonly externalSize: number;
  readonly inlineSize: number;
}

function openLayer(repository: Repository, diffId: OciDigest): OpenStream {
  const id = lookUpStream(repository, layerStream(diffId));
  if (id === undefined) {
    throw new CfsError("NotFound", `Layer ${diffId} not found`, {
      hint: "the layers of an image are the diff IDs in its config",
    });
  }
  const stream = openStreamObject(repository, id);
  try {
    stream.reader.expectContentType(CONTENT_LAYER);
    return stream;
  } catch (error) {
    stream[Symbol.dispose]();
    throw withContext(`layer ${diffId}`, error);
  }
}

/** Gives the tar of a layer to `write`, in pieces that are valid until it returns. */
export function writeLayer(
  repository: Repository,
  diffId: OciDigest,
  write: (piece: Uint8Array<ArrayBufferLike>) => void,
): void {
  using stream = openLayer(repository, diffId);
  copyStream(repository, stream.reader, write);
}

/** Gives the entries of a layer to `write` as lines of a dumpfile; those before a bad entry come before the error. */
export function writeLayerDump(
  repository: Repository,
  diffId: OciDigest,
  write: (line: string) => void,
): void {
  using stream = openLayer(repository, diffId);
  for (const line of dumpLayer(layerEntries(stream), sparseExpander(repository.objects, "compute")))
    write(line);
}

export function summarizeLayer(repository: Repository, diffId: OciDigest): LayerSummary {
  using stream = openLayer(repository, diffId);
  let entryCount = 0;
  let externalSize = 0;
  for (const { content } of layerEntries(stream)) {
    entryCount++;
    if (content?.type === "object") externalSize += content.size;
  }
  const size = Number(stream.reader.streamSize);
  return {
    diffId,
    verity: stream.id,
    size,
    entryCount,
    externalObjects: stream.reader.objectRefs.length,
    externalSize,
    inlineSize: size - externalSize,
  };
}
