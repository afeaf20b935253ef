import { CfsError, describeError } from "../../errors.ts";
import { acquireJobs } from "../../parallel/jobs.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import { linkImage, lookUpImage } from "../../repository/images.ts";
import type { Repository } from "../../repository/repository.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { Checksum } from "../checksum.ts";
import { CommitStreamWriter } from "../commit-stream-writer.ts";
import type { ObjectLookup } from "../commit-table.ts";
import { storeDetachedMetadata } from "../detached-metadata.ts";
import { commitRefName } from "../names.ts";
import type { Commit } from "../objects.ts";
import type { OstreeSource } from "../source.ts";
import {
  commitOfRef,
  hasContent,
  isCompleteLinked,
  MissingContent,
  openCommit,
  openCompleteCommit,
  openNamedCommit,
  openPartialCommit,
  type StoredCommit,
  storeCommit,
  writeCommitRef,
} from "../stored-commit.ts";
import type { Subpaths } from "../subpaths.ts";
import { buildCommitTree } from "../tree.ts";
import { FileFetcher } from "./file-fetcher.ts";
import { ObjectWalk } from "./object-walk.ts";
import { PullRecord } from "./pull-record.ts";

export interface PullOptions {
  /** Name below `refs/ostree/`, written when everything else is in place. What it named before serves as a base. */
  readonly ref?: string | undefined;
  /** Name of a commit in the repository whose objects need not be fetched. */
  readonly baseName?: string | undefined;
  /** More commits that may be in the repository, to the same end. */
  readonly bases?: readonly Checksum[];
  /** See `TreeOptions`. */
  readonly cleanXattrNames?: boolean;
  /** Bring in these paths only, besides those that are there; all of the commit when undefined. */
  readonly subpaths?: Subpaths | undefined;
  /** Threads; see `acquireJobs` for the default. */
  readonly jobs?: number | undefined;
  readonly progress?: Progress;
  /**
   * Looks at the commit object, which has been checked against its checksum, before anything else is fetched; what it
   * throws ends the pull. The place to verify signatures.
   */
  readonly onCommit?: (commit: Commit) => void | Promise<void>;
  /** Brings in objects by other means, such as a static delta, before any is fetched; not called when none is needed. */
  readonly bringIn?: () => Promise<ObjectLookup>;
}

export interface PullReport {
  readonly commit: Checksum;
  /** What composefs-rs prints: see `NewCommit.firstStream`; of a commit that was there, its stream. */
  readonly verity: ObjectId;
  /** The commit's stream as the repository has it. */
  readonly stream: ObjectId;
  readonly image: ObjectId;
  readonly ref: string | undefined;
  /** Objects that were fetched. */
  readonly metadata: number;
  readonly files: number;
  readonly hasXattrs: boolean;
  /** What there is of the commit; undefined when it is complete. */
  readonly subpaths: Subpaths | undefined;
  /** All that was asked for was there already. */
  readonly unchanged: boolean;
}

/**
 * Brings a commit into the repository: its objects, the stream that lists them, an image of its tree, and at last the
 * ref. Everything is verified, and nothing is linked before it is proven that nothing is missing. Objects that the
 * repository has by the commit's parent, by what the ref named so far, or by a given base, are not fetched.
 */
export async function pullCommit(
  repository: Repository,
  source: OstreeSource,
  commit: Checksum,
  options: PullOptions = {},
): Promise<PullReport> {
  const { ref, baseName } = options;
  if (ref !== undefined) commitRefName(ref);
  repository.ensureWritable();
  const progress = options.progress ?? silentProgress;
  const bases: StoredCommit[] = [];
  if (baseName !== undefined) bases.push(openNamedCommit(repository, baseName));
  const addBase = (base: Checksum | undefined) => {
    if (base === undefined || bases.some((there) => there.commit === base)) return;
    const found = tolerate(progress, () => openCommit(repository, base));
    if (found !== undefined) bases.push(found);
  };
  for (const base of options.bases ?? []) addBase(base);
  // Where there is a stream of all of it, that is mended.
  let subpaths = isCompleteLinked(repository, commit) ? undefined : options.subpaths;
  for (const open of [openCompleteCommit, openPartialCommit]) {
    const present = tolerate(progress, () => open(repository, commit));
    if (present === undefined) continue;
    if (present.subpaths !== undefined) subpaths = subpaths?.with(present.subpaths);
    const complete =
      present.subpaths !== undefined && subpaths?.equals(present.subpaths) !== true
        ? undefined
        : tolerate(progress, () => completeCommit(repository, present, options));
    if (complete !== undefined) {
      keepSignatures(repository, commit, await findSignatures(source, commit, progress), progress);
      if (ref !== undefined) writeCommitRef(repository, ref, commit);
      return complete;
    }
    bases.push(present);
  }
  if (ref !== undefined) addBase(commitOfRef(repository, ref));
  try {
    return await fetchCommit(repository, source, commit, { ...options, subpaths, bases, trustBases: true });
  } catch (error) {
    if (!(error instanceof MissingContent)) throw error;
    progress.event({ type: "message", text: "files of a base have vanished; they are fetched again" });
    return await fetchCommit(repository, source, commit, { ...options, subpaths, bases, trustBases: false });
  }
}

/** What is damaged does not help, but it does not hinder either: it is fetched again. */
function tolerate<T>(progress: Progress, find: () => T): T | undefined {
  try {
    return find();
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    progress.event({ type: "message", text: `will not be used: ${describeError(error)}` });
    return undefined;
  }
}

/** What the source has beside a commit. Whether it is needed has been found out elsewhere: without it, so be it. */
async function findSignatures(
  source: OstreeSource,
  commit: Checksum,
  progress: Progress,
): Promise<Uint8Array | undefined> {
  try {
    return await source.readDetachedMetadata(commit);
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    progress.event({ type: "message", text: `signatures are not kept: ${describeError(error)}` });
    return undefined;
  }
}

function keepSignatures(
  repository: Repository,
  commit: Checksum,
  found: Uint8Array | undefined,
  progress: Progress,
): void {
  if (found !== undefined) tolerate(progress, () => storeDetachedMetadata(repository, commit, found));
}

/** The report on a commit that is there with all that belongs to it; undefined when something has to be made anew. */
function completeCommit(
  repository: Repository,
  { commit, stream, table, image, subpaths }: StoredCommit,
  { cleanXattrNames, ref }: PullOptions,
): PullReport | undefined {
  if (image === undefined || !repository.objects.has(image) || !hasContent(repository, table))
    return undefined;
  const { hasXattrs, objectCount } = buildCommitTree(table, commit, { subpaths });
  if (objectCount !== table.length || (cleanXattrNames === true && hasXattrs)) return undefined;
  if (!isImageLinked(repository, image)) linkImage(repository, image);
  const none = { metadata: 0, files: 0 };
  return { commit, verity: stream, stream, image, ref, ...none, hasXattrs, subpaths, unchanged: true };
}

function isImageLinked(repository: Repository, image: ObjectId): boolean {
  try {
    return lookUpImage(repository, image) === image;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

interface FetchOptions extends Omit<PullOptions, "bases"> {
  readonly bases: readonly StoredCommit[];
  /** Whether it is taken for granted that the content of the bases' files is there; it is checked in the end. */
  readonly trustBases: boolean;
}

async function fetchCommit(
  repository: Repository,
  source: OstreeSource,
  commit: Checksum,
  options: FetchOptions,
): Promise<PullReport> {
  const progress = options.progress ?? silentProgress;
  const { ref, cleanXattrNames = false, subpaths } = options;
  const broughtIn = await options.bringIn?.();
  using jobs = acquireJobs(options.jobs);
  const objects = new CommitStreamWriter(repository.algorithm);
  const lookup = (base: StoredCommit) => (options.trustBases ? base.table : presentObjects(repository, base));
  using record = source.files.kind === "remote" ? PullRecord.open(repository, commit) : undefined;
  const first = [broughtIn, record].filter((objects) => objects !== undefined);
  const bases = [...first, ...options.bases.map(lookup)];
  const counts = new PullProgress(progress, commit);
  let signatures: Promise<Uint8Array | undefined> | undefined;
  const onWrong = (what: string) =>
    progress.event({ type: "message", text: `${what}; it is fetched once more` });
  const collect = async () => {
    let files = 0;
    await using fetcher = new FileFetcher(repository, source, {
      jobs: jobs.count,
      onFile: (checksum, data, external) => {
        objects.add(checksum, data, external);
        if (external === undefined) record?.add(checksum, data);
      },
      record: record?.descriptor,
      onBytes: (bytes) => counts.addBytes(bytes),
      onWrong,
    });
    const walk = new ObjectWalk(source, objects, {
      bases,
      onFile: (checksum) => {
        if (fetcher.failure !== undefined) throw fetcher.failure.error;
        files++;
        fetcher.add(checksum);
      },
      onFetched: (checksum, bytes) => record?.add(checksum, bytes),
      onWrong,
      onCommit: async (object) => {
        await options.onCommit?.(object);
        signatures = findSignatures(source, commit, progress);
        const { parent } = object;
        if (parent === undefined || options.bases.some((base) => base.commit === parent)) return;
        const found = tolerate(progress, () => openCommit(repository, parent));
        if (found !== undefined) bases.push(lookup(found));
      },
    });
    try {
      await walk.run(commit, subpaths);
    } catch (error) {
      // The walk would put it down to the directory that it was at.
      throw fetcher.failure?.error ?? error;
    }
    await fetcher.finish();
    return { metadata: walk.fetched, files };
  };
  // The stream and the image are made when the threads have ended: together they would take half as much memory again.
  const { metadata, files } = await collect();
  counts.done(metadata, files);
  keepSignatures(repository, commit, await signatures, progress);
  const stored = storeCommit(repository, objects, commit, { ref, cleanXattrNames, subpaths });
  record?.done();
  const { firstStream, stream, image, hasXattrs } = stored;
  const verity = firstStream;
  return { commit, verity, stream, image, ref, metadata, files, hasXattrs, subpaths, unchanged: false };
}

/** What a commit has, without files whose content has vanished. */
function presentObjects(repository: Repository, { table }: StoredCommit): ObjectLookup {
  return {
    find(checksum) {
      const found = table.find(checksum);
      return found?.external !== undefined && !repository.objects.has(found.external) ? undefined : found;
    },
  };
}

class PullProgress {
  readonly #progress: Progress;
  readonly #id: string;
  #bytes = 0;

  constructor(progress: Progress, commit: Checksum) {
    this.#progress = progress;
    this.#id = commit;
    progress.event({ type: "start", id: this.#id, label: `commit ${commit.slice(0, 12)}` });
  }

  addBytes(bytes: number): void {
    this.#bytes += bytes;
    this.#progress.event({ type: "advance", id: this.#id, bytes: this.#bytes });
  }

  done(metadata: number, files: number): void {
    const label = `${metadata} metadata + ${files} files`;
    this.#progress.event({ type: "done", id: this.#id, label, bytes: this.#bytes });
  }
}
