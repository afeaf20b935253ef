import { CfsError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { type OpenStream, openStreamObject } from "../repository/streams.ts";
import { SplitstreamWriter, toBytes } from "../splitstream/writer.ts";
import type { ObjectId } from "../verity/digest.ts";

/** A JSON document of an image as the repository keeps it, with the streams that it refers to. */
export interface StoredDocument {
  /** Object of the splitstream. */
  readonly id: ObjectId;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly namedRefs: ReadonlyMap<string, ObjectId>;
}

/**
 * Stores a document, in place of a damaged one if need be: its bytes as one object, whatever their size, and a splitstream that names it.
 * @param namedRefs in the order in which they are to be numbered.
 * @returns the object of the splitstream, which nothing links yet.
 */
export function storeDocument(
  repository: Repository,
  contentType: string,
  bytes: Uint8Array<ArrayBufferLike>,
  namedRefs: Iterable<readonly [string, ObjectId]>,
): ObjectId {
  const { objects } = repository;
  const content = objects.storeVerified(bytes as Uint8Array<ArrayBuffer>);
  const writer = new SplitstreamWriter(repository.algorithm, contentType);
  for (const [name, id] of namedRefs) writer.addNamedRef(name, id);
  writer.external(content.id, bytes.length);
  return objects.storeVerified(toBytes(writer.finish())).id;
}

/**
 * Reads a document by the object of its splitstream.
 * @param max most bytes that are read.
 * @throws CfsError NotFound, Corrupt
 */
export function readDocument(
  repository: Repository,
  id: ObjectId,
  contentType: string,
  max: number,
): StoredDocument {
  using stream = openStreamObject(repository, id);
  return readOpenDocument(repository, stream, contentType, max);
}

function readOpenDocument(
  repository: Repository,
  stream: OpenStream,
  contentType: string,
  max: number,
): StoredDocument {
  const { reader } = stream;
  reader.expectContentType(contentType);
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const chunk of reader.chunks()) {
    const part = "inline" in chunk ? chunk.inline.slice() : repository.objects.read(chunk.object, max);
    size += part.length;
    if (size > max) throw new CfsError("Corrupt", `the document has more than ${max} bytes`);
    parts.push(part);
  }
  return { id: stream.id, bytes: new Uint8Array(Buffer.concat(parts)), namedRefs: reader.namedRefs };
}
