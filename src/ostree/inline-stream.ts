import { CfsError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { openStream } from "../repository/streams.ts";
import { SplitstreamWriter, toBytes } from "../splitstream/writer.ts";
import type { ObjectId } from "../verity/digest.ts";

/** Stores a splitstream that refers to nothing. @returns its object, which has to be linked. */
export function storeInline(repository: Repository, contentType: string, bytes: Uint8Array): ObjectId {
  const writer = new SplitstreamWriter(repository.algorithm, contentType);
  writer.inline(bytes);
  return repository.objects.storeVerified(toBytes(writer.finish())).id;
}

/**
 * The content of a stream that refers to nothing.
 * @throws CfsError NotFound; Corrupt when it is of another kind, or has more than `max` bytes
 */
export function readInline(
  repository: Repository,
  name: string,
  contentType: string,
  max: number,
): Buffer<ArrayBuffer> {
  using opened = openStream(repository, name);
  opened.reader.expectContentType(contentType);
  const parts: Uint8Array[] = [];
  let size = 0;
  for (const chunk of opened.reader.chunks()) {
    if (!("inline" in chunk)) throw new CfsError("Corrupt", `stream '${name}' has an external chunk`);
    size += chunk.inline.length;
    if (size > max) throw new CfsError("Corrupt", `stream '${name}' has more than ${max} bytes`);
    parts.push(chunk.inline.slice());
  }
  return Buffer.concat(parts);
}
