import { collectObjects } from "../erofs/collect.ts";
import { CfsError } from "../errors.ts";
import { checkStreamContent } from "../repository/fsck-deep.ts";
import { linkImage, readImageFile, storeImageIf } from "../repository/images.ts";
import { readFromObjects } from "../repository/read-file.ts";
import { MAX_ENTRIES, openCategory } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { linkStream, lookUpStream } from "../repository/streams.ts";
import { listDirectory } from "../sys/dir.ts";
import { applyBootTransform } from "../tree/boot-transform.ts";
import { applyOciTransform } from "../tree/transform.ts";
import type { ObjectId } from "../verity/digest.ts";
import { isDigest, type OciDigest } from "./digest.ts";
import { imageConfigOf, openManifest, type StoredImage } from "./image.ts";
import { type LinkedImage, linkedImageRefs } from "./image-refs.ts";
import { buildImageTree } from "./pull/build-tree.ts";
import { areLayersComplete, areStreamsComplete } from "./pull/presence.ts";
import { blobRef, blobStream, configStream, layerStream, MANIFEST_PREFIX } from "./streams.ts";

export interface RepairListener {
  /** A stream, by its name, has its link again. */
  readonly onLinked: (stream: string) => void;
  /** An EROFS image was made anew. */
  readonly onMade: (image: ObjectId) => void;
}

/**
 * Makes anew what container images have and can be made of the rest: links to streams, and EROFS images. Nothing gets a
 * digest that it did not have.
 * @param wrongStreams names of streams whose links are known to be wrong.
 */
export function repairImages(
  repository: Repository,
  wrongStreams: ReadonlySet<string>,
  listener: RepairListener,
): void {
  for (const digest of storedManifests(repository)) {
    const image = orUndefined(() => openManifest(repository, digest));
    if (image === undefined) continue;
    relinkStreams(repository, image, wrongStreams, listener);
    orUndefined(() => remakeImages(repository, image, listener));
  }
}

/** Whether an image has all that belongs to it: manifest, config, layers, kept blobs, EROFS images. */
export function isImageWhole(repository: Repository, digest: OciDigest): boolean {
  try {
    const image = openManifest(repository, digest);
    const { manifest, document } = image;
    const config = imageConfigOf(image);
    const layers =
      config === undefined
        ? areStreamsComplete(
            repository,
            manifest.layers.map((layer) => layerStream(layer.digest)),
          )
        : areLayersComplete(repository, config.diffIds);
    const blobs = manifest.layers.filter((layer) => document.namedRefs.has(blobRef(layer.digest)));
    return (
      layers &&
      areStreamsComplete(
        repository,
        blobs.map((layer) => blobStream(layer.digest)),
      ) &&
      linkedImageRefs(image.config.document.namedRefs).every(({ id }) => isComplete(repository, id))
    );
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

/** Digests of the manifests that have a stream, readable or not. */
export function storedManifests(repository: Repository): OciDigest[] {
  using streams = openCategory(repository, "streams");
  if (streams === undefined) return [];
  return listDirectory(streams, MAX_ENTRIES).flatMap(({ name }) => {
    const digest = name.startsWith(MANIFEST_PREFIX) ? name.slice(MANIFEST_PREFIX.length) : "";
    return isDigest(digest) ? [digest] : [];
  });
}

/** The manifest and the config of an image name the objects of the streams that belong to it. */
function relinkStreams(
  repository: Repository,
  { manifest, document, config }: StoredImage,
  wrongStreams: ReadonlySet<string>,
  { onLinked }: RepairListener,
): void {
  const expected = new Map<string, ObjectId>([[configStream(config.digest), config.document.id]]);
  for (const [name, id] of config.document.namedRefs) if (isDigest(name)) expected.set(layerStream(name), id);
  for (const { digest } of manifest.layers) {
    const id = document.namedRefs.get(blobRef(digest));
    if (id !== undefined) expected.set(blobStream(digest), id);
  }
  for (const [name, id] of expected) {
    if (!wrongStreams.has(name) && isLinked(repository, name)) continue;
    if (checkStreamContent(repository, { name, id }) !== undefined) continue;
    linkStream(repository, name, id);
    onLinked(name);
  }
}

/** Whether the link of a stream is there and leads to an object. */
export function isLinked(repository: Repository, name: string): boolean {
  const id = orUndefined(() => lookUpStream(repository, name));
  return id !== undefined && repository.objects.has(id);
}

/** Also what the expansion of sparse files has stored, which is in no layer. */
function remakeImages(repository: Repository, image: StoredImage, { onMade }: RepairListener): void {
  const config = imageConfigOf(image);
  if (config === undefined || !areLayersComplete(repository, config.diffIds)) return;
  for (const linked of linkedImageRefs(image.config.document.namedRefs)) {
    const { id } = linked;
    if (isComplete(repository, id)) continue;
    const root = buildImageTree(repository, config.diffIds, new Map());
    applyOciTransform(root, linked.xattrMode ?? "allowlist-only");
    if (linked.bootable) applyBootTransform(root, readFromObjects(repository.objects));
    if (repository.objects.has(id)) continue;
    const isMade = versionsOf(linked).some(
      (version) => storeImageIf(repository, root, version, (made) => made === id) !== undefined,
    );
    if (!isMade) continue;
    linkImage(repository, id);
    onMade(id);
  }
}

/** Formats 0 and 1 share a reference. */
function versionsOf({ version }: LinkedImage): readonly (0 | 1 | 2)[] {
  return version === 2 ? [2] : [1, 0];
}

/** Whether an image and all that it refers to are there. */
function isComplete({ objects, algorithm }: Repository, id: ObjectId): boolean {
  if (!objects.has(id)) return false;
  using file = objects.open(id);
  return collectObjects(readImageFile(file), algorithm).every((object) => objects.has(object));
}

/** What can't be read is passed over: it can't be made of what is left. */
function orUndefined<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}
