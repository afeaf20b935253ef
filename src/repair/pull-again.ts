import { CfsError, describeError } from "../errors.ts";
import { digestAlgorithm, type OciDigest } from "../oci/digest.ts";
import { readManifest } from "../oci/image.ts";
import { parseIndex } from "../oci/index.ts";
import { readIndexRefs } from "../oci/index-refs.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../oci/manifest.ts";
import { isManifestType } from "../oci/media-types.ts";
import { type PullOptions, pullManifest } from "../oci/pull/pull.ts";
import { isImageWhole, storedManifests } from "../oci/repair.ts";
import type { ImageSource, PublishedDocument } from "../oci/source.ts";
import { storeIndex } from "../oci/stored-index.ts";
import { blobRef, blobStream, configRef, configStream } from "../oci/streams.ts";
import { encodeTag, listTags, manifestOfTarget } from "../oci/tags.ts";
import type { Checksum } from "../ostree/checksum.ts";
import { LocalRepository } from "../ostree/local/repository.ts";
import { pullCommit } from "../ostree/pull/pull.ts";
import type { Progress } from "../progress.ts";
import { linkTarget } from "../repository/links.ts";
import { listRefs } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { lookUpStream } from "../repository/streams.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { Action } from "./actions.ts";

/** Where images can be pulled from again. */
export interface ImageOrigin {
  /** For messages. */
  readonly label: string;
  /** What the user named. */
  open(): Promise<ImageSource>;
  /** The image of a digest in the same place; undefined where images can't be asked for so. */
  readonly at: ((digest: OciDigest) => ImageSource) | undefined;
}

export interface PullAgainOptions {
  readonly jobs?: number | undefined;
  readonly progress?: Progress | undefined;
  readonly onAction: (action: Action) => void;
  readonly onProblem: (problem: string) => void;
}

/** Pulls what the repository has of an origin, as far as something of it is missing. */
export async function pullImagesAgain(
  repository: Repository,
  origin: ImageOrigin,
  options: PullAgainOptions,
): Promise<void> {
  const missing = new Set(knownManifests(repository).filter((digest) => !isImageWhole(repository, digest)));
  if (missing.size === 0) return;
  {
    using source = await origin.open();
    const found = await source.manifest();
    for (const published of await listedManifests(source, found, missing)) {
      missing.delete(published.digest);
      await pullAgain(repository, origin, source, published, options);
    }
    if (found.index !== undefined) restoreIndex(repository, found.index);
  }
  for (const digest of origin.at === undefined ? [] : missing) {
    using source = origin.at!(digest);
    try {
      await pullAgain(repository, origin, source, await source.manifest(), options);
    } catch (error) {
      // The image may be from elsewhere.
      if (!(error instanceof CfsError)) throw error;
      options.onProblem(`${origin.label}: ${describeError(error)}`);
    }
  }
}

/** The manifests that have a stream, and those that refs lead to. */
function knownManifests(repository: Repository): OciDigest[] {
  const named = listRefs(repository, "streams").flatMap(({ target }) => manifestOfTarget(target) ?? []);
  return [...new Set([...storedManifests(repository), ...named])].sort();
}

/** Those of an image and of its index that are wanted. */
async function listedManifests(
  source: ImageSource,
  found: Awaited<ReturnType<ImageSource["manifest"]>>,
  wanted: ReadonlySet<OciDigest>,
): Promise<PublishedDocument[]> {
  const listed: PublishedDocument[] = wanted.has(found.digest) ? [found] : [];
  if (found.index === undefined) return listed;
  for (const descriptor of parseIndex(found.index.bytes).manifests) {
    const { digest, mediaType } = descriptor;
    if (digest === found.digest || !wanted.has(digest) || !isManifestType(mediaType)) continue;
    const bytes = await source.readDocument(descriptor, MAX_MANIFEST_SIZE, "Manifest");
    listed.push({ bytes, digest, mediaType });
  }
  return listed;
}

async function pullAgain(
  repository: Repository,
  origin: ImageOrigin,
  source: ImageSource,
  published: PublishedDocument,
  { jobs, progress, onAction }: PullAgainOptions,
): Promise<void> {
  const { digest } = published;
  const expected = expectedConfig(repository, published);
  const options: PullOptions = {
    keepBlobs: keptBlobs(repository, published),
    ...(jobs !== undefined && { jobs }),
    ...(progress !== undefined && { progress }),
  };
  const { config } = await pullManifest(repository, source, published, options);
  // The manifest still says which config it had: with other images than were made now, it had bootable ones.
  if (expected !== undefined && lookUpStream(repository, configStream(config)) !== expected)
    await pullManifest(repository, source, published, { ...options, bootable: true });
  onAction({ what: "pulled", path: digest, where: origin.label });
}

/** The object of the config's stream that the manifest's refers to, as far as that can be read. */
function expectedConfig(repository: Repository, { digest }: PublishedDocument): ObjectId | undefined {
  const stored = readIfIntact(repository, digest);
  return stored?.document.namedRefs.get(configRef(stored.manifest.config.digest));
}

function readIfIntact(
  repository: Repository,
  digest: OciDigest,
): ReturnType<typeof readManifest> | undefined {
  try {
    return readManifest(repository, digest);
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}

/** Whether layers of the image were kept as they were transported: for this image, not for another one. */
function keptBlobs(repository: Repository, { bytes, digest }: PublishedDocument): boolean {
  const layers = parseManifest(bytes, digestAlgorithm(digest)).layers;
  const own = readIfIntact(repository, digest);
  if (own !== undefined) return layers.some((layer) => own.document.namedRefs.has(blobRef(layer.digest)));
  const ofOthers = new Set(
    storedManifests(repository).flatMap((other) => [
      ...(readIfIntact(repository, other)?.document.namedRefs.keys() ?? []),
    ]),
  );
  return layers.some(
    (layer) =>
      !ofOthers.has(blobRef(layer.digest)) &&
      linkTarget(repository.dir.fd, `streams/${blobStream(layer.digest)}`) !== undefined,
  );
}

/** The index of the tags that have it. */
function restoreIndex(repository: Repository, index: PublishedDocument): void {
  for (const { name } of listTags(repository)) {
    if (readIndexRefs(repository, encodeTag(name))?.index === index.digest)
      storeIndex(repository, name, index);
  }
}

/** Pulls commits from a local ostree repository. */
export async function pullCommitsAgain(
  repository: Repository,
  path: string,
  commits: readonly Checksum[],
  { jobs, progress, onAction, onProblem }: PullAgainOptions,
): Promise<void> {
  await using source = LocalRepository.open(path);
  for (const commit of commits) {
    try {
      await pullCommit(repository, source, commit, { jobs, ...(progress !== undefined && { progress }) });
      onAction({ what: "pulled", path: commit, where: path });
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      onProblem(`${path}: ${describeError(error)}`);
    }
  }
}
