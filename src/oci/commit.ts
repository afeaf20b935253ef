import { MAX_IMAGE_SIZE } from "../erofs/format.ts";
import { scanObjectDigests } from "../erofs/scan.ts";
import { CfsError } from "../errors.ts";
import { lookUpImage } from "../repository/images.ts";
import { placeLink } from "../repository/links.ts";
import { objectTarget } from "../repository/names.ts";
import type { ObjectChecklist } from "../repository/presence.ts";
import type { Repository } from "../repository/repository.ts";
import { lookUpStream } from "../repository/streams.ts";
import { CONTENT_CONFIG, CONTENT_MANIFEST } from "../splitstream/format.ts";
import { syncfs } from "../sys/file.ts";
import type { Directory } from "../tree/model.ts";
import type { ObjectId } from "../verity/digest.ts";
import { type ImageConfig, MAX_CONFIG_SIZE } from "./config.ts";
import type { OciDigest } from "./digest.ts";
import { readDocument, storeDocument } from "./documents.ts";
import { IMAGE_REFS, imageRef, type LinkedImage, linkedImageRefs } from "./image-refs.ts";
import { replayLayers } from "./image-tree.ts";
import { makeImages } from "./make-images.ts";
import { MAX_MANIFEST_SIZE, type Manifest } from "./manifest.ts";
import { DOCKER_CONFIG } from "./media-types.ts";
import { satisfies, sealsOf } from "./seal.ts";
import { blobRef, blobStream, configRef, configStream, layerStream, manifestStream } from "./streams.ts";

export interface CommittedImage {
  readonly manifestStream: ObjectId;
  readonly configStream: ObjectId;
  /** The EROFS images that belong to it; none of an artifact. */
  readonly images: readonly LinkedImage[];
  /** The bootable one in the repository's default format, when it was asked for. */
  readonly bootImage?: ObjectId | undefined;
}

export interface CommitOptions {
  /** Make the bootable images too. */
  readonly bootable?: boolean;
}

/**
 * Makes the EROFS images of a container image whose layers are linked, and links them, its config and its manifest.
 * The links are made last, after one wait for the disk.
 * @param root the tree that the layers make, as replayed; it is changed.
 * @throws CfsError when the tree can't be an image or does not match its seal; then nothing was linked.
 */
export function commitImage(
  repository: Repository,
  manifest: Manifest,
  config: ImageConfig,
  root: Directory,
  { bootable = false }: CommitOptions = {},
): CommittedImage {
  repository.ensureWritable();
  // Bootable images that were made of the same config before are still right; what was lost comes back.
  const previous = linkedImagesOf(repository, config.digest).filter((image) => image.bootable);
  const intact = previous.filter(({ id }) => isIntact(repository, id));
  const { linked, bootImage } = makeImages(repository, root, {
    bootable: bootable || intact.length < previous.length,
    seals: sealsOf(manifest, config, repository.algorithm),
    replay: () => replayLayers(repository, config.diffIds),
  });
  return {
    ...linkImages(repository, manifest, config, [...intact, ...linked]),
    bootImage: bootable ? bootImage : undefined,
  };
}

/** Links one more bootable image, which is stored, to a container image that is complete. */
export function addImage(
  repository: Repository,
  manifest: Manifest,
  config: ImageConfig,
  image: LinkedImage,
): CommittedImage {
  repository.ensureWritable();
  return linkImages(repository, manifest, config, [...linkedImagesOf(repository, config.digest), image]);
}

/** @param images of two that share a reference, the last one counts. */
function linkImages(
  repository: Repository,
  manifest: Manifest,
  config: ImageConfig,
  images: readonly LinkedImage[],
): CommittedImage {
  const byName = new Map(images.map((image) => [image.name, image]));
  const linked = IMAGE_REFS.flatMap(({ name }) => byName.get(name) ?? []);
  const layerRefs = layerRefsOf(repository, config.diffIds);
  const configId = storeDocument(repository, CONTENT_CONFIG, config.bytes, [
    ...layerRefs,
    ...linked.map(({ name, id }): [string, ObjectId] => [name, id]),
  ]);
  const refs = manifestRefs(repository, manifest, config, configId, layerRefs);
  const manifestId = storeDocument(repository, CONTENT_MANIFEST, manifest.bytes, refs);
  publish(
    repository,
    linked.map(({ id }) => id),
    [
      [configStream(config.digest), configId],
      [manifestStream(manifest.digest), manifestId],
    ],
  );
  return { manifestStream: manifestId, configStream: configId, images: linked };
}

/** Links the config and manifest of an artifact whose blobs are linked. */
export function commitArtifact(
  repository: Repository,
  manifest: Manifest,
  configBytes: Uint8Array<ArrayBufferLike>,
): CommittedImage {
  repository.ensureWritable();
  const layerRefs = layerRefsOf(
    repository,
    manifest.layers.map(({ digest }) => digest),
  );
  const configDigest = manifest.config.digest;
  const configId =
    findSharedConfig(repository, configDigest, configBytes) ??
    storeDocument(repository, CONTENT_CONFIG, configBytes, layerRefs);
  const manifestId = storeDocument(repository, CONTENT_MANIFEST, manifest.bytes, [
    [configRef(configDigest), configId],
    ...layerRefs,
  ]);
  publish(
    repository,
    [],
    [
      [configStream(configDigest), configId],
      [manifestStream(manifest.digest), manifestId],
    ],
  );
  return { manifestStream: manifestId, configStream: configId, images: [] };
}

/**
 * The stream of a config that is there and complete. Most artifacts have the same empty config. Its stream names the
 * layers of the one that came first and is not replaced, since the manifests of others lead to it by its object, and
 * garbage collection of composefs-rs keeps what a config needs only under the link that has its name.
 */
function findSharedConfig(
  repository: Repository,
  digest: OciDigest,
  bytes: Uint8Array<ArrayBufferLike>,
): ObjectId | undefined {
  try {
    const id = lookUpStream(repository, configStream(digest));
    if (id === undefined) return undefined;
    const stored = readDocument(repository, id, CONTENT_CONFIG, MAX_CONFIG_SIZE);
    const isComplete = [...stored.namedRefs.values()].every((ref) => repository.objects.has(ref));
    return isComplete && Buffer.compare(stored.bytes, bytes) === 0 ? id : undefined;
  } catch (error) {
    // Whatever is missing or damaged is made again.
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}

/**
 * What `commitImage` would return when there is nothing left for it to do: documents and images are present, intact
 * and linked.
 * @param checklist gets the objects that the images refer to; whether they and the layers' are there is for the
 *   caller to find out.
 */
export function findCommitted(
  repository: Repository,
  manifest: Manifest,
  config: ImageConfig,
  checklist: ObjectChecklist,
  { bootable = false }: CommitOptions = {},
): CommittedImage | undefined {
  try {
    const manifestId = lookUpStream(repository, manifestStream(manifest.digest));
    const configId = lookUpStream(repository, configStream(config.digest));
    if (manifestId === undefined || configId === undefined) return undefined;
    const layerRefs = layerRefsOf(repository, config.diffIds);
    const storedConfig = readDocument(repository, configId, CONTENT_CONFIG, MAX_CONFIG_SIZE);
    const storedManifest = readDocument(repository, manifestId, CONTENT_MANIFEST, MAX_MANIFEST_SIZE);

    const linked = linkedImageRefs(storedConfig.namedRefs);
    const wanted = repository.erofsVersions.flatMap((version) => [
      imageRef(version),
      ...(bootable ? [imageRef(version, true)] : []),
    ]);
    const seals = sealsOf(manifest, config, repository.algorithm);
    const isSealed = (image: LinkedImage) => seals.some((seal) => satisfies(image, seal));
    const areRight =
      wanted.every((name) => storedConfig.namedRefs.has(name)) &&
      seals.every((seal) => linked.some((image) => satisfies(image, seal))) &&
      linked.every((image) => image.bootable || wanted.includes(image.name) || isSealed(image)) &&
      linked.every(({ id }) => checkImage(repository, id, checklist));
    if (!areRight) return undefined;
    const imageRefs = linked.map(({ name, id }): [string, ObjectId] => [name, id]);
    const isCurrent =
      sameRefs(storedConfig.namedRefs, [...layerRefs, ...imageRefs]) &&
      sameRefs(storedManifest.namedRefs, manifestRefs(repository, manifest, config, configId, layerRefs));
    if (!isCurrent) return undefined;
    const bootImage = bootable
      ? storedConfig.namedRefs.get(imageRef(repository.erofsVersion, true))
      : undefined;
    return { manifestStream: manifestId, configStream: configId, images: linked, bootImage };
  } catch (error) {
    // Whatever is missing or damaged is made again.
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}

/** What the stream of an image's manifest refers to. */
function manifestRefs(
  repository: Repository,
  manifest: Manifest,
  config: ImageConfig,
  configId: ObjectId,
  layerRefs: readonly [OciDigest, ObjectId][],
): [string, ObjectId][] {
  const refs: [string, ObjectId][] = [[configRef(config.digest), configId], ...layerRefs];
  for (const { digest } of manifest.layers) {
    const id = lookUpStream(repository, blobStream(digest));
    if (id !== undefined) refs.push([blobRef(digest), id]);
  }
  if (manifest.config.mediaType !== DOCKER_CONFIG) return refs;
  // composefs-rs takes docker's images for artifacts and looks their layers up by the manifest's digests.
  const byDiffId = new Map(layerRefs);
  for (const [i, { digest }] of manifest.layers.entries()) {
    const id = byDiffId.get(config.diffIds[i]!);
    if (id !== undefined) refs.push([digest, id]);
  }
  return refs;
}

function sameRefs(found: ReadonlyMap<string, ObjectId>, expected: readonly [string, ObjectId][]): boolean {
  const wanted = new Map(expected);
  return found.size === wanted.size && [...wanted].every(([name, id]) => found.get(name) === id);
}

/** Whether an image is linked and intact; the objects that it refers to are added to `checklist`. */
function checkImage(repository: Repository, id: ObjectId, checklist: ObjectChecklist): boolean {
  if (lookUpImage(repository, id) !== id) return false;
  const image = repository.objects.read(id, MAX_IMAGE_SIZE);
  scanObjectDigests(image, repository.algorithm, (bytes, offset) => checklist.add(bytes, offset));
  return true;
}

function isIntact(repository: Repository, image: ObjectId): boolean {
  try {
    repository.objects.read(image, MAX_IMAGE_SIZE);
    return true;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

/** The splitstream of each layer, once, in the order of `ids`. @throws CfsError NotFound */
function layerRefsOf(repository: Repository, ids: readonly OciDigest[]): [OciDigest, ObjectId][] {
  return [...new Set(ids)].map((digest) => {
    const id = lookUpStream(repository, layerStream(digest));
    if (id === undefined) throw new CfsError("NotFound", `layer ${digest} is missing from the repository`);
    return [digest, id];
  });
}

/** The images of a config that is in the repository. */
function linkedImagesOf(repository: Repository, config: OciDigest): LinkedImage[] {
  return linkedImageRefs(readConfigRefs(repository, config));
}

/** References of a config that is in the repository; none when it is not, or damaged: it is about to be replaced. */
function readConfigRefs(repository: Repository, config: OciDigest): ReadonlyMap<string, ObjectId> {
  try {
    const id = lookUpStream(repository, configStream(config));
    if (id === undefined) return new Map();
    return readDocument(repository, id, CONTENT_CONFIG, MAX_CONFIG_SIZE).namedRefs;
  } catch (error) {
    if (error instanceof CfsError) return new Map();
    throw error;
  }
}

/** Links what is stored, after waiting until it is on disk. Streams are linked in their order. */
function publish(
  repository: Repository,
  images: readonly ObjectId[],
  streams: readonly (readonly [string, ObjectId])[],
): void {
  const { dir } = repository;
  syncfs(dir);
  for (const id of images) placeLink(dir, ["images", id], objectTarget(id));
  for (const [name, id] of streams) placeLink(dir, ["streams", name], objectTarget(id));
}
