import { collectObjectSizes } from "../erofs/collect.ts";
import { withContext } from "../errors.ts";
import { isImageObject, readImageFile } from "../repository/images.ts";
import type { Repository } from "../repository/repository.ts";
import { openStreamObject } from "../repository/streams.ts";
import { CONTENT_OSTREE_COMMIT, HEADER_SIZE, hasSplitstreamMagic } from "../splitstream/format.ts";
import { pread } from "../sys/file.ts";
import { formatObjectId, type ObjectId } from "../verity/digest.ts";

/** What is known of the size of an object from what refers to it, in bytes. */
export interface KnownSize {
  readonly exact?: number;
  readonly max?: number;
}

export interface References {
  readonly kind: "stream" | "image" | "other";
  /** What named refs of a stream point to, each once: streams, images, other objects. */
  readonly targets: readonly ObjectId[];
}

/**
 * What an object refers to that is there and intact.
 * @param onContent called for each object that has content of it.
 * @throws CfsError Corrupt
 */
export function readReferences(
  repository: Repository,
  id: ObjectId,
  onContent: (id: ObjectId, size: KnownSize) => void,
): References {
  try {
    if (beginsAsStream(repository, id)) return readStream(repository, id, onContent);
    if (!isImageObject(repository, id)) return { kind: "other", targets: [] };
    using file = repository.objects.open(id);
    const objects = collectObjectSizes(readImageFile(file), repository.algorithm);
    for (const [object, exact] of objects) onContent(object, { exact });
    return { kind: "image", targets: [] };
  } catch (error) {
    throw withContext(`object ${formatObjectId(id, repository.algorithm)}`, error);
  }
}

function readStream(
  repository: Repository,
  id: ObjectId,
  onContent: (id: ObjectId, size: KnownSize) => void,
): References {
  using stream = openStreamObject(repository, id);
  const { objectRefs, namedRefs, contentType, streamSize } = stream.reader;
  // The stream of a commit is a table of objects; others are the content of theirs.
  const size = contentType === CONTENT_OSTREE_COMMIT ? {} : { max: Number(streamSize) };
  for (const object of objectRefs) onContent(object, size);
  return { kind: "stream", targets: [...new Set(namedRefs.values())] };
}

function beginsAsStream({ objects }: Repository, id: ObjectId): boolean {
  using file = objects.open(id);
  const head = Buffer.alloc(HEADER_SIZE);
  return pread(file.fd, head, 0, file.path) === HEADER_SIZE && hasSplitstreamMagic(head);
}
