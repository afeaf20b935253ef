import { CfsError, withContext } from "../../errors.ts";
import { acquireJobs } from "../../parallel/jobs.ts";
import { WorkerPool } from "../../parallel/pool.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import { ObjectChecklist } from "../../repository/presence.ts";
import type { Repository } from "../../repository/repository.ts";
import { linkStream, openStreamObject } from "../../repository/streams.ts";
import { CONTENT_BLOB, CONTENT_LAYER } from "../../splitstream/format.ts";
import type { Algorithm, ObjectId } from "../../verity/digest.ts";
import { type CommittedImage, commitArtifact, commitImage, findCommitted } from "../commit.ts";
import type { OciDigest } from "../digest.ts";
import { imageConfigOf, openImage, type StoredImage } from "../image.ts";
import { findKeptBlob } from "../kept-blob.ts";
import { buildImageTree } from "../pull/build-tree.ts";
import { areLayersComplete, areStreamsComplete } from "../pull/presence.ts";
import { recordReferrer } from "../referrers.ts";
import { SharedProgress } from "../shared-progress.ts";
import { blobStream, layerStream } from "../streams.ts";
import { checkTagName, writeTag } from "../tags.ts";
import {
  type CopiedLayer,
  type CopyLayerRequest,
  type CopyStatistics,
  copyLayer,
  noCopies,
} from "./layer-job.ts";

export interface CopyOptions {
  /** Tag to write when everything else is in place. */
  readonly tag?: string;
  /** Share blocks or files between the repositories where that is possible. */
  readonly zerocopy?: boolean;
  /** Threads; see `acquireJobs` for the default. */
  readonly jobs?: number;
  readonly progress?: Progress;
}

export interface CopyReport {
  readonly manifest: OciDigest;
  readonly config: OciDigest;
  /** Objects of their streams in the target. */
  readonly manifestVerity: ObjectId;
  readonly configVerity: ObjectId;
  readonly tag: string | undefined;
  readonly statistics: CopyStatistics;
  /** Nothing had to be done but the tag. */
  readonly unchanged: boolean;
}

/** Below this many bytes, starting another thread takes longer than the work that it takes over. */
const BYTES_PER_THREAD = 4 * 1024 * 1024;

/** A stream of the source that the target is to have. */
interface SourceStream {
  /** Name in `streams/`, the same in both. */
  readonly name: string;
  /** Of the rebuilt bytes. */
  readonly digest: OciDigest;
  /** Object of the splitstream in the source. */
  readonly id: ObjectId;
  readonly contentType: string;
  /** Bytes when rebuilt. */
  readonly size: number;
}

/**
 * Brings an image of another repository into this one: layers that are missing, manifest and config as splitstreams,
 * its tree as EROFS images, and at last the tag. Everything is verified before it is linked.
 * @throws CfsError NotFound, Corrupt; Invalid when `zerocopy` is asked for between different algorithms
 */
export async function copyImage(
  target: Repository,
  source: Repository,
  name: string,
  options: CopyOptions = {},
): Promise<CopyReport> {
  if (options.tag !== undefined) checkTagName(options.tag);
  target.ensureWritable();
  if (options.zerocopy) checkSameAlgorithm(source.algorithm, target.algorithm);
  const image = openImage(source, name);
  try {
    return await copyOpened(target, source, image, options);
  } catch (error) {
    throw withContext(`image ${image.manifest.digest}`, error);
  }
}

function checkSameAlgorithm(source: Algorithm, target: Algorithm): void {
  if (source.hash === target.hash) return;
  const title = ({ hash }: Algorithm) => (hash === "sha256" ? "Sha256" : "Sha512");
  throw new CfsError(
    "Invalid",
    `--zerocopy requires matching hash algorithms; source uses ${title(source)} but destination uses ${title(target)}`,
    { hint: "copy without --zerocopy" },
  );
}

async function copyOpened(
  target: Repository,
  source: Repository,
  image: StoredImage,
  options: CopyOptions,
): Promise<CopyReport> {
  const { manifest } = image;
  const config = imageConfigOf(image);
  const report = (committed: CommittedImage, statistics: CopyStatistics, unchanged: boolean): CopyReport => {
    recordReferrer(target, manifest);
    if (options.tag !== undefined) writeTag(target, manifest.digest, options.tag);
    return {
      manifest: manifest.digest,
      config: manifest.config.digest,
      manifestVerity: committed.manifestStream,
      configVerity: committed.configStream,
      tag: options.tag,
      statistics,
      unchanged,
    };
  };
  const blobs = missingBlobs(target, source, image, (digest) => {
    const text = `the blob ${digest} that the source has kept is damaged: it is left out; oci pull --keep-blobs mends it`;
    options.progress?.event({ type: "message", text });
  });
  if (config === undefined) {
    const digests = manifest.layers.map(({ digest }) => digest);
    const isHere = (digest: OciDigest) => areStreamsComplete(target, [layerStream(digest)]);
    const missing = missingLayers(source, digests, image.document.namedRefs, isHere);
    const statistics = await copyStreams(target, source, missing, options);
    const committed = commitArtifact(target, manifest, image.config.document.bytes);
    return report(committed, statistics, missing.length === 0);
  }
  const checklist = new ObjectChecklist(target);
  const present = findCommitted(target, manifest, config, checklist);
  if (present !== undefined && blobs.length === 0 && areLayersComplete(target, config.diffIds, checklist))
    return report(present, noCopies(), true);
  const { namedRefs } = image.config.document;
  const isHere = (digest: OciDigest) => areLayersComplete(target, [digest]);
  const missing = missingLayers(source, config.diffIds, namedRefs, isHere, CONTENT_LAYER);
  const statistics = await copyStreams(target, source, [...missing, ...blobs], options);
  const root = buildImageTree(target, config.diffIds, new Map());
  return report(commitImage(target, manifest, config, root), statistics, false);
}

/**
 * The layers that the target lacks, each once.
 * @param contentType that their streams must have; any unless given: a blob of an artifact may be an image's layer.
 */
function missingLayers(
  source: Repository,
  digests: readonly OciDigest[],
  refs: ReadonlyMap<string, ObjectId>,
  isHere: (digest: OciDigest) => boolean,
  contentType?: string,
): SourceStream[] {
  return [...new Set(digests)]
    .filter((digest) => !isHere(digest))
    .map((digest) => {
      const id = refs.get(digest);
      if (id === undefined) {
        throw new CfsError("Corrupt", `the source has no reference to the layer ${digest}`, {
          hint: "pull the image there again",
        });
      }
      return sourceStream(source, layerStream(digest), digest, id, contentType);
    });
}

/** Layers as they were transported that the source has kept, and the target lacks. */
function missingBlobs(
  target: Repository,
  source: Repository,
  { manifest, document }: StoredImage,
  onLost: (digest: OciDigest) => void,
): SourceStream[] {
  const digests = new Set(manifest.layers.map(({ digest }) => digest));
  return [...digests].flatMap((digest) => {
    const name = blobStream(digest);
    if (areStreamsComplete(target, [name])) return [];
    const id = findKeptBlob(source, document, digest, onLost);
    return id === undefined ? [] : [sourceStream(source, name, digest, id, CONTENT_BLOB)];
  });
}

function sourceStream(
  source: Repository,
  name: string,
  digest: OciDigest,
  id: ObjectId,
  contentType?: string,
): SourceStream {
  using opened = openStreamObject(source, id);
  const { reader } = opened;
  return {
    name,
    digest,
    id,
    contentType: contentType ?? (reader.contentType === CONTENT_LAYER ? CONTENT_LAYER : CONTENT_BLOB),
    size: Number(reader.streamSize),
  };
}

async function copyStreams(
  target: Repository,
  source: Repository,
  streams: readonly SourceStream[],
  options: CopyOptions,
): Promise<CopyStatistics> {
  const total = noCopies();
  if (streams.length === 0) return total;
  using jobs = acquireJobs(options.jobs);
  const largestFirst = [...streams].sort((a, b) => b.size - a.size);
  const tasks = largestFirst.map(({ digest, name, size }) => ({ id: name, label: digest, size }));
  using progress = new SharedProgress(tasks, options.progress ?? silentProgress);
  const requests = largestFirst.map(
    ({ digest, id, contentType }, index): CopyLayerRequest => ({
      source: source.objects.handle,
      target: target.objects.handle,
      stream: id,
      contentType,
      digest,
      share: options.zerocopy ?? false,
      progress: progress.shared,
      index,
    }),
  );
  const onLayer = ({ index, id, statistics }: CopiedLayer) => {
    linkStream(target, largestFirst[index]!.name, id);
    addTo(total, statistics);
    progress.done(index);
  };
  const bytes = streams.reduce((sum, { size }) => sum + size, 0);
  const threads = Math.min(jobs.count, streams.length, Math.ceil(bytes / BYTES_PER_THREAD));
  if (threads <= 1) {
    for (const request of requests) onLayer(copyLayer(request));
    return total;
  }
  await using pool = new WorkerPool(threads);
  await pool.run<CopyLayerRequest, void, CopiedLayer>("copy-layer", requests, onLayer);
  return total;
}

function addTo(total: CopyStatistics, { objects, bytes, inlinedBytes }: CopyStatistics): void {
  for (const arrival of ["present", "copied", "reflinked", "hardlinked"] as const) {
    total.objects[arrival] += objects[arrival];
    total.bytes[arrival] += bytes[arrival];
  }
  total.inlinedBytes += inlinedBytes;
}
