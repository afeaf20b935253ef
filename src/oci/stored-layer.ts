import { byteString } from "../bytes.ts";
import type { Repository } from "../repository/repository.ts";
import { type OpenStream, openStream, openStreamObject } from "../repository/streams.ts";
import { CONTENT_LAYER } from "../splitstream/format.ts";
import { pread } from "../sys/file.ts";
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

const COPY_SIZE = 256 * 1024;

/**
 * Gives the rebuilt bytes of a stream to `write`, in pieces that are valid until it returns.
 * @throws CfsError NotFound, Corrupt
 */
export function writeStream(
  repository: Repository,
  { reader }: OpenStream,
  write: (piece: Uint8Array<ArrayBufferLike>) => void,
): void {
  const buffer = new Uint8Array(COPY_SIZE);
  for (const chunk of reader.chunks()) {
    if ("inline" in chunk) {
      write(chunk.inline);
      continue;
    }
    using object = repository.objects.open(chunk.object);
    for (let offset = 0; ; ) {
      const length = pread(object.fd, buffer, offset, object.path);
      if (length > 0) write(buffer.subarray(0, length));
      offset += length;
      if (length < buffer.length) break;
    }
  }
}

/** Digest of the rebuilt bytes of a stream. @param algorithm sha256, sha384 or sha512. */
export function hashStream(repository: Repository, stream: OpenStream, algorithm: string): OciDigest {
  const hash = new Bun.CryptoHasher(algorithm as Bun.SupportedCryptoAlgorithms);
  writeStream(repository, stream, (piece) => hash.update(piece as Uint8Array<ArrayBuffer>));
  return `${algorithm}:${hash.digest("hex")}` as OciDigest;
}
