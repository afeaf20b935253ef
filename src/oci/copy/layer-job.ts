import { CfsError, withContext } from "../../errors.ts";
import { type Arrival, ObjectCopier } from "../../repository/copy-object.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { FileSpool } from "../../repository/spool.ts";
import { openStreamObject } from "../../repository/streams.ts";
import type { SplitstreamReader } from "../../splitstream/reader.ts";
import { SplitstreamWriter } from "../../splitstream/writer.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { hasherFor, type OciDigest } from "../digest.ts";

/** A layer, or the blob of an artifact, that another repository is to get. */
export interface CopyLayerRequest {
  readonly source: ObjectStoreHandle;
  readonly target: ObjectStoreHandle;
  /** Object of its splitstream in the source. */
  readonly stream: ObjectId;
  readonly contentType: string;
  /** Of the rebuilt bytes: diff ID of a layer. */
  readonly digest: OciDigest;
  /** Share blocks or files where that is possible. */
  readonly share: boolean;
  /** One number a layer: bytes of it that were read. Shared. */
  readonly progress: SharedArrayBuffer;
  /** Of this layer in `progress`. */
  readonly index: number;
}

export interface CopyStatistics {
  /** Objects by how they came to be in the target; splitstreams are not counted. */
  readonly objects: Record<Arrival, number>;
  /** Bytes of them. */
  readonly bytes: Record<Arrival, number>;
  inlinedBytes: number;
}

export function noCopies(): CopyStatistics {
  const none = () => ({ present: 0, copied: 0, reflinked: 0, hardlinked: 0 });
  return { objects: none(), bytes: none(), inlinedBytes: 0 };
}

export interface CopiedLayer {
  /** Of the layer in the request. */
  readonly index: number;
  /** Object of its splitstream in the target, which nothing links yet. */
  readonly id: ObjectId;
  readonly statistics: CopyStatistics;
}

/**
 * Copies a layer with all its objects. Nothing is trusted: each object is compared with its digest, and the whole
 * with the layer's.
 * @throws CfsError NotFound, Corrupt
 */
export function copyLayer(request: CopyLayerRequest): CopiedLayer {
  const source = new ObjectStore(request.source);
  const target = new ObjectStore(request.target);
  try {
    return { index: request.index, ...copyBetween(request, source, target) };
  } catch (error) {
    throw withContext(`layer ${request.digest}`, error);
  } finally {
    source.close();
    target.close();
  }
}

/** `copyLayer` in another thread; what it gives is told at once. */
export function copyLayerJob(request: CopyLayerRequest, emit: (copied: CopiedLayer) => void): void {
  emit(copyLayer(request));
}

function copyBetween(request: CopyLayerRequest, source: ObjectStore, target: ObjectStore) {
  const copier = new ObjectCopier(source, target, request.share);
  const statistics = noCopies();
  const spools: FileSpool[] = [];
  using stream = openStreamObject({ objects: source, algorithm: source.algorithm }, request.stream);
  const { reader } = stream;
  reader.expectContentType(request.contentType);
  try {
    const writer = new SplitstreamWriter(target.algorithm, request.contentType, () => {
      const spool = new FileSpool(request.target.repositoryFd);
      spools.push(spool);
      return spool;
    });
    copyContent(reader, copier, writer, request, statistics);
    statistics.inlinedBytes = writer.inlineBytes;
    const finished = writer.finish();
    const { id } = target.storeStream((write) => {
      write(finished.head);
      finished.stream.drain(write);
    });
    return { id, statistics };
  } finally {
    for (const spool of spools) spool.close();
  }
}

/** Writes the stream anew: from the same pieces the same bytes come, whatever the algorithm of the other one. */
function copyContent(
  reader: SplitstreamReader,
  copier: ObjectCopier,
  writer: SplitstreamWriter,
  { digest, progress, index }: CopyLayerRequest,
  { objects, bytes }: CopyStatistics,
): void {
  const { algorithm, hash } = hasherFor(digest);
  const counter = new Float64Array(progress);
  const seen = (piece: Uint8Array<ArrayBuffer>) => {
    hash.update(piece);
    counter[index]! += piece.length;
  };
  for (const chunk of reader.chunks()) {
    if ("inline" in chunk) {
      seen(chunk.inline as Uint8Array<ArrayBuffer>);
      writer.inline(chunk.inline);
      continue;
    }
    const { id, size, arrival } = copier.copy(chunk.object, seen);
    writer.external(id, size);
    objects[arrival]++;
    bytes[arrival] += size;
  }
  const found = `${algorithm}:${hash.digest("hex")}`;
  if (found === digest) return;
  throw new CfsError("Corrupt", `Layer ${digest} has incorrect checksum: computed ${found}`, {
    data: { expected: digest, found },
    hint: "the layer in the source repository is damaged; pull the image there again",
  });
}
