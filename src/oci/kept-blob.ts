import { CfsError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { openStreamObject } from "../repository/streams.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { OciDigest } from "./digest.ts";
import type { StoredDocument } from "./documents.ts";
import { blobRef } from "./streams.ts";

/**
 * The stream of a layer as it was transported, if it was kept with the manifest.
 * @param onLost is told when it was, but something of it is missing: an image is complete without it.
 */
export function findKeptBlob(
  repository: Repository,
  { namedRefs }: StoredDocument,
  digest: OciDigest,
  onLost: (digest: OciDigest) => void,
): ObjectId | undefined {
  const id = namedRefs.get(blobRef(digest));
  if (id === undefined || isComplete(repository, id)) return id;
  onLost(digest);
  return undefined;
}

function isComplete(repository: Repository, id: ObjectId): boolean {
  try {
    using stream = openStreamObject(repository, id);
    for (const object of stream.reader.objectRefs) if (!repository.objects.has(object)) return false;
    return true;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}
