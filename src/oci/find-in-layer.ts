import type { ByteString } from "../bytes.ts";
import type { Repository } from "../repository/repository.ts";
import { lookUpStream, openStreamObject } from "../repository/streams.ts";
import { CONTENT_LAYER } from "../splitstream/format.ts";
import type { ObjectId } from "../verity/digest.ts";
import { DigestTable } from "../verity/digest-table.ts";
import type { OciDigest } from "./digest.ts";
import { layerEntries } from "./stored-layer.ts";
import { layerStream } from "./streams.ts";

/** The digests of so many objects take 13 MB. */
const MAX_OBJECTS = 200_000;
/** Reading entries leaves garbage behind. */
const ENTRIES_PER_COLLECTION = 50_000;

/**
 * Finds a path for each of some objects in a layer. A layer that has none of them is not read, nor is one with more than
 * 200,000 objects, for the sake of memory.
 * @param diffId of a layer; what is in the repository under this name, but is no layer, has no files.
 */
export function findInLayer(
  repository: Repository,
  diffId: OciDigest,
  wanted: ReadonlySet<ObjectId>,
): Map<ObjectId, ByteString> {
  const found = new Map<ObjectId, ByteString>();
  const id = lookUpStream(repository, layerStream(diffId));
  if (id === undefined || wanted.size === 0) return found;
  using stream = openStreamObject(repository, id);
  if (stream.reader.contentType !== CONTENT_LAYER || stream.reader.objectCount > MAX_OBJECTS) return found;
  const table = new DigestTable(repository.algorithm.size);
  for (const object of wanted) table.indexOf(object);
  let there = 0;
  stream.reader.visitObjectRefs((bytes, offset) => {
    if (table.find(bytes, offset) >= 0) there++;
  });
  if (there === 0) return found;
  let entries = 0;
  for (const { entry, content } of layerEntries(stream)) {
    if (++entries % ENTRIES_PER_COLLECTION === 0) Bun.gc(true);
    if (content?.type !== "object" || !wanted.has(content.id) || found.has(content.id)) continue;
    found.set(content.id, `/${entry.path.replace(/^(\.?\/)+/, "")}`);
    if (found.size === there) break;
  }
  return found;
}
