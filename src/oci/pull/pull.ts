import { CfsError, describeError, withContext } from "../../errors.ts";
import { acquireJobs } from "../../parallel/jobs.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import { ObjectChecklist } from "../../repository/presence.ts";
import type { Repository } from "../../repository/repository.ts";
import { Fd } from "../../sys/fd.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { type CommittedImage, commitArtifact, commitImage, findCommitted } from "../commit.ts";
import { type ImageConfig, MAX_CONFIG_SIZE, parseConfig } from "../config.ts";
import { DeltaSource } from "../delta/delta-source.ts";
import type { SubstitutedLayers } from "../delta/substitutes.ts";
import type { Descriptor } from "../descriptor.ts";
import { digestAlgorithm, type OciDigest } from "../digest.ts";
import { openConfig, openManifest, parseStoredConfig } from "../image.ts";
import { isContainerImage, isDelta, type Manifest, parseManifest } from "../manifest.ts";
import { recordReferrer } from "../referrers.ts";
import { sealsOf } from "../seal.ts";
import type { ImageSource, PublishedDocument } from "../source.ts";
import { blobStream, layerStream } from "../streams.ts";
import { checkTagName, lookUpTag, writeTag } from "../tags.ts";
import { buildImageTree } from "./build-tree.ts";
import { chooseLayers, type DeltaUse, downloadLimits, isReasonToGiveUp } from "./choose-layers.ts";
import { importLayers } from "./import-layers.ts";
import { noStatistics, type SplitLayer, type SplitStatistics } from "./layer-splitter.ts";
import { areLayersComplete, areStreamsComplete } from "./presence.ts";
import { removeParts } from "./transfers.ts";

export interface PullOptions {
  /** Tag to write when everything else is in place. */
  readonly tag?: string;
  /** Threads; see `acquireJobs` for the default. */
  readonly jobs?: number;
  readonly progress?: Progress;
  /** Also keep the blobs of compressed layers as they were published. */
  readonly keepBlobs?: boolean;
  /** Make the bootable image too. */
  readonly bootable?: boolean;
  /** Whether to look for a delta that makes the image from one that is here: not at all by default. */
  readonly delta?: DeltaUse;
}

export interface PullReport {
  readonly manifest: OciDigest;
  readonly config: OciDigest;
  /** Object of the manifest's stream, as the repository holds it now. */
  readonly verity: ObjectId;
  readonly tag: string | undefined;
  /** Manifest of the delta that layers came from. */
  readonly delta: OciDigest | undefined;
  /** The bootable image, if it was asked for. */
  readonly bootImage: ObjectId | undefined;
  readonly statistics: SplitStatistics;
  /** Nothing had to be done but the tag. */
  readonly unchanged: boolean;
}

/** Entries of this many layers are kept in open files; those of more are read from the repository again. */
const MAX_ENTRY_FILES = 128;

/** A layer of the image, and the name that its stream has. */
export interface ImageLayer {
  readonly descriptor: Descriptor;
  /** What is transported instead of its blob. */
  readonly substitute?: Descriptor;
  /** Diff ID of a tar layer, digest of an artifact's blob. */
  readonly id: OciDigest;
}

/**
 * Brings an image into the repository: layers, manifest and config as splitstreams, its tree as EROFS images, and at
 * last the tag. Everything is verified before it is linked. What an interrupted pull has stored, the next one finds.
 */
export async function pullImage(
  repository: Repository,
  source: ImageSource,
  options: PullOptions = {},
): Promise<PullReport> {
  if (options.tag !== undefined) checkTagName(options.tag);
  repository.ensureWritable();
  return await pullManifest(repository, source, await source.manifest(), options);
}

/** As `pullImage`, for one of several images of a source; of a delta, the image that it makes. */
export async function pullManifest(
  repository: Repository,
  source: ImageSource,
  found: PublishedDocument,
  options: PullOptions = {},
): Promise<PullReport> {
  const manifest = parseManifest(found.bytes, digestAlgorithm(found.digest));
  if (isDelta(manifest)) {
    if (options.keepBlobs === true) throw withContext(source.label, noBlobs(manifest));
    using delta = await DeltaSource.open(source, manifest);
    return await pullManifest(repository, delta, await delta.manifest(), options);
  }
  try {
    return await pullParsed(repository, source, manifest, options);
  } catch (error) {
    throw withContext(`${source.label}: image ${manifest.digest}`, error);
  }
}

async function pullParsed(
  repository: Repository,
  source: ImageSource,
  manifest: Manifest,
  options: PullOptions,
): Promise<PullReport> {
  const configBytes =
    storedConfigBytes(repository, manifest.config) ??
    (await source.readDocument(manifest.config, MAX_CONFIG_SIZE, "Config"));
  let { delta } = source;
  const report = (committed: CommittedImage, statistics: SplitStatistics, unchanged: boolean): PullReport => {
    removeParts(repository, [...manifest.layers, ...(delta?.layers.values() ?? [])]);
    recordReferrer(repository, manifest);
    if (options.tag !== undefined) writeTag(repository, manifest.digest, options.tag);
    return {
      manifest: manifest.digest,
      config: manifest.config.digest,
      verity: committed.manifestStream,
      tag: options.tag,
      delta: delta?.manifest.digest,
      bootImage: committed.bootImage,
      statistics,
      unchanged,
    };
  };
  const { keepBlobs = false, bootable = false } = options;
  using jobs = acquireJobs(options.jobs);
  const importOptions = { jobs: jobs.count, progress: options.progress ?? silentProgress };

  if (!isContainerImage(manifest)) {
    const blobs = eachOnce(
      manifest.layers.map((descriptor) => ({ descriptor, id: descriptor.digest })),
    ).filter(({ id }) => !areStreamsComplete(repository, [layerStream(id)]));
    const statistics = await importLayers(repository, source.blobs, blobs, {
      ...importOptions,
      kind: "blob",
    });
    return report(commitArtifact(repository, manifest, configBytes), statistics, blobs.length === 0);
  }

  const config = parseConfig(configBytes, digestAlgorithm(manifest.config.digest));
  // A seal that can't be verified is no reason to fetch the layers first.
  sealsOf(manifest, config, repository.algorithm);
  const layers = layersOf(manifest, config);
  const checklist = new ObjectChecklist(repository);
  const committed = findCommitted(repository, manifest, config, checklist, { bootable });
  if (committed !== undefined && areLayersComplete(repository, config.diffIds, checklist)) {
    if (!keepBlobs || layers.every((layer) => hasBlob(repository, layer)))
      return report(committed, noStatistics(), true);
  }
  const missing = eachOnce(layers).filter(
    (layer) => !areLayersComplete(repository, [layer.id]) || (keepBlobs && !hasBlob(repository, layer)),
  );
  using entryFiles = new DisposableStack();
  const imported = new Set<OciDigest>();
  const split = new Map<OciDigest, SplitLayer>();
  const importSome = async ({ layers: some, patched }: SubstitutedLayers): Promise<SplitStatistics> =>
    await importLayers(repository, source.blobs, some, {
      ...importOptions,
      kind: "tar",
      keepBlobs,
      patched,
      downloads: patched && downloadLimits(options.jobs),
      likely: layersTagged(repository, options.tag),
      onLayer: (id, layer) => {
        imported.add(id);
        const file = new Fd(layer.entries!.fd, "temporary file");
        if (split.size === MAX_ENTRY_FILES) {
          file.close();
          return;
        }
        entryFiles.use(file);
        split.set(id, layer);
      },
    });
  const chosen = await chooseLayers(repository, source, manifest, missing, {
    use: keepBlobs ? "never" : (options.delta ?? "never"),
    progress: options.progress,
  });
  delta = chosen.delta;
  let statistics: SplitStatistics;
  try {
    statistics = await importSome(chosen);
  } catch (error) {
    if (!chosen.isOptional || !isReasonToGiveUp(error)) throw error;
    const why = describeError(error);
    importOptions.progress.event({
      type: "message",
      text: `the delta can't be used, taking the image: ${why}`,
    });
    removeParts(repository, delta?.layers.values() ?? []);
    delta = undefined;
    statistics = await importSome({
      layers: missing.filter(({ id }) => !imported.has(id)),
      patched: undefined,
    });
  }
  // The tree is built when the threads have ended: together they would take half as much memory again.
  const root = buildImageTree(repository, config.diffIds, split);
  return report(commitImage(repository, manifest, config, root, { bootable }), statistics, false);
}

function noBlobs({ digest }: Manifest): CfsError {
  return new CfsError(
    "Unsupported",
    `${digest} is a delta, which does not have the layers as they were published`,
    {
      hint: "leave --keep-blobs out, or pull the whole image",
    },
  );
}

/** The config if it is here and intact. */
function storedConfigBytes(
  repository: Repository,
  { digest }: Descriptor,
): Uint8Array<ArrayBuffer> | undefined {
  try {
    return openConfig(repository, digest).document.bytes;
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}

/** Diff IDs of the image that has the tag now: an earlier version of what is pulled, as a rule. */
function layersTagged(repository: Repository, tag: string | undefined): readonly OciDigest[] {
  try {
    const digest = tag === undefined ? undefined : lookUpTag(repository, tag);
    return digest === undefined ? [] : parseStoredConfig(openManifest(repository, digest).config).diffIds;
  } catch (error) {
    if (error instanceof CfsError) return [];
    throw error;
  }
}

function eachOnce(layers: readonly ImageLayer[]): ImageLayer[] {
  return [...new Map(layers.map((layer) => [layer.id, layer])).values()];
}

/** Whether the layer is kept as it was published, or is published as the plain tar that can be made of it. */
function hasBlob(repository: Repository, { descriptor, id }: ImageLayer): boolean {
  return descriptor.digest === id || areStreamsComplete(repository, [blobStream(descriptor.digest)]);
}

function layersOf(manifest: Manifest, config: ImageConfig): ImageLayer[] {
  const { layers } = manifest;
  const { diffIds } = config;
  if (layers.length !== diffIds.length) {
    throw new CfsError(
      "Invalid",
      `the manifest has ${layers.length} layers, but the config names ${diffIds.length} diff IDs`,
      { hint: "the image is malformed; it has to be built again" },
    );
  }
  return layers.map((descriptor, i) => ({ descriptor, id: diffIds[i]! }));
}
