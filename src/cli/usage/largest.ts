import type { ByteString } from "../../bytes.ts";
import { findPaths } from "../../erofs/find-paths.ts";
import { CfsError, describeError } from "../../errors.ts";
import { findInLayer } from "../../oci/find-in-layer.ts";
import { IMAGE_REF } from "../../ostree/commit-table.ts";
import { readImageFile } from "../../repository/images.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStreamObject } from "../../repository/streams.ts";
import type { LargeFile } from "../../repository/usage/usage.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { MeasuredRepository } from "./measure.ts";
import type { UsageRoot } from "./roots.ts";

export interface NamedFile extends LargeFile {
  /** One of its paths; undefined when it was not found, or not looked for in an image that is too large. */
  readonly path: ByteString | undefined;
}

/** Larger images are not read for the names of files: 100,000 files fit. */
const MAX_IMAGE = 32 << 20;

/**
 * The largest files, with their paths where they are found with little memory: in layers, which are read as they come,
 * and in images that are not too large.
 * @param onUnreadable is told what could not be looked at.
 */
export function nameLargestFiles(
  repository: Repository,
  { roots, usage }: MeasuredRepository,
  count: number,
  onUnreadable: (message: string) => void,
): NamedFile[] {
  const files = usage.largestFiles(count);
  const missing = new Set(files.map(({ id }) => id));
  const paths = new Map<ObjectId, ByteString>();
  for (const number of new Set(files.flatMap((file) => file.roots))) {
    if (missing.size === 0) break;
    const root = roots[number]!;
    try {
      for (const found of pathsIn(repository, root, missing)) {
        for (const [id, path] of found) {
          paths.set(id, path);
          missing.delete(id);
        }
      }
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      onUnreadable(`${root.names[0]}: ${describeError(error)}`);
    }
  }
  return files.map((file) => ({ ...file, path: paths.get(file.id) }));
}

function* pathsIn(
  repository: Repository,
  { kind, id, container }: UsageRoot,
  wanted: ReadonlySet<ObjectId>,
): Generator<Map<ObjectId, ByteString>> {
  for (const { diffId } of container?.layers ?? []) yield findInLayer(repository, diffId, wanted);
  if (kind === "image") yield pathsInImage(repository, id, wanted);
  if (kind === "commit") {
    using stream = openStreamObject(repository, id);
    const image = stream.reader.namedRefs.get(IMAGE_REF);
    if (image !== undefined) yield pathsInImage(repository, image, wanted);
  }
}

function pathsInImage(
  repository: Repository,
  id: ObjectId,
  wanted: ReadonlySet<ObjectId>,
): Map<ObjectId, ByteString> {
  if ((repository.objects.sizeOf(id) ?? Number.POSITIVE_INFINITY) > MAX_IMAGE) return new Map();
  using file = repository.objects.open(id);
  return findPaths(readImageFile(file), repository.algorithm, wanted);
}
