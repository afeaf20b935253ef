import { byteString } from "../bytes.ts";
import type { Repository } from "../repository/repository.ts";
import { copyStream, type OpenStream, openStream, openStreamObject } from "../repository/streams.ts";
import { CONTENT_LAYER } from "../splitstream/format.ts";
import { readLayer } from "../tar/read-back.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { OciDigest } from "./digest.ts";
import type { LayerContent, LayerEntry } from "./layer-entries.ts";
import { layerStream } from "./streams.ts";

/**
 * The entries of a layer that is in the repository. Each is valid until the next one is asked for.
 * @param id object of its splitstream, when it is not to be found by the diff ID.
 * @throws CfsError NotFound, Corrupt
 */
export function* readStoredLayer(
  repository: Repository,
  diffId: OciDigest,
  id?: ObjectId,
): Generator<LayerEntry> {
  using stream =
    id === undefined ? openStream(repository, layerStream(diffId)) : openStreamObject(repository, id);
  yield* layerEntries(stream);
}

/** The entries of a layer whose stream is open. */
export function* layerEntries({ reader }: OpenStream): Generator<LayerEntry> {
  reader.expectContentType(CONTENT_LAYER);
  for (const { entry, inline, object } of readLayer(reader.chunks())) {
    let content: LayerContent | undefined;
    if (object !== undefined) content = { type: "object", id: object, size: entry.size };
    else if (entry.type === "file") content = { type: "inline", data: byteString(inline) };
    yield { entry, content };
  }
}

/** Digest of the rebuilt bytes of a stream. @param algorithm sha256, sha384 or sha512. */
export function hashStream(repository: Repository, stream: OpenStream, algorithm: string): OciDigest {
  const hash = new Bun.CryptoHasher(algorithm as Bun.SupportedCryptoAlgorithms);
  copyStream(repository, stream.reader, (piece) => hash.update(piece as Uint8Array<ArrayBuffer>));
  return `${algorithm}:${hash.digest("hex")}` as OciDigest;
}
