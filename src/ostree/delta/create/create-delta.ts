import { CfsError } from "../../../errors.ts";
import { acquireJobs } from "../../../parallel/jobs.ts";
import { WorkerPool } from "../../../parallel/pool.ts";
import { type Progress, silentProgress } from "../../../progress.ts";
import { O_DIRECTORY, O_RDONLY, open, openat, readSmallFile } from "../../../sys/file.ts";
import { type Checksum, checksumBytes, isChecksum, parseChecksum } from "../../checksum.ts";
import { parseDetachedMetadata } from "../../detached-metadata.ts";
import { readGVariant, type Value, Variant, writeGVariant } from "../../gvariant.ts";
import { LocalRepository } from "../../local/repository.ts";
import { OBJECT_TYPES, parseCommit, swap64 } from "../../objects.ts";
import { deltaDirectory } from "../names.ts";
import { detachedKey, ENDIANNESS_KEY, type FallbackObject, SUPERBLOCK } from "../superblock.ts";
import { DeltaOutput } from "./delta-output.ts";
import { type MadePart, type MakePartJob, makePart } from "./make-part.ts";
import { planDelta } from "./plan.ts";
import { findReachable } from "./reachable.ts";

export interface CreateDeltaOptions {
  /** Ref or id of the commit that users have; undefined for a delta from nothing. */
  readonly from: string | undefined;
  /** Ref or id of the commit that it leads to. */
  readonly to: string;
  /** Put the parts into the superblock. */
  readonly inline: boolean;
  /** New files with more bytes of content are fetched on their own. */
  readonly fallbackSize: number;
  /** Threads. */
  readonly jobs?: number | undefined;
  readonly progress?: Progress;
}

export interface CreatedDelta {
  readonly from: Checksum | undefined;
  readonly to: Checksum;
  /** Directory in the repository. */
  readonly path: string;
  readonly parts: number;
  /** Bytes to be fetched, of the superblock and all parts. */
  readonly size: number;
  /** Objects in the parts, and objects to be fetched on their own. */
  readonly objects: number;
  readonly fallbacks: number;
}

/** Less content is not worth another thread. */
const ALONE_SIZE = 512 * 1024;
const COMMIT = "(a{sv}aya(say)sstayay)";
const LITTLE_ENDIAN = "l".charCodeAt(0);
/** Of parts in a superblock, which is read as a whole. */
const MAX_INLINE_SIZE = 256 * 1024 * 1024;

/**
 * Makes a static delta in an ostree repository of mode archive. The same commits give the same delta.
 * @throws CfsError NotFound, Unsupported for repositories of other modes, Corrupt when the repository is damaged.
 */
export async function createDelta(path: string, options: CreateDeltaOptions): Promise<CreatedDelta> {
  await using source = LocalRepository.open(path);
  if (source.mode !== "archive") {
    throw new CfsError(
      "Unsupported",
      `${path} is of mode ${source.mode}: deltas are for those of mode archive`,
      {
        hint: "make an archive with `ostree init --mode=archive` and `ostree pull-local`",
      },
    );
  }
  const { inline, fallbackSize, progress = silentProgress } = options;
  const from = options.from === undefined ? undefined : await resolve(source, options.from);
  const to = await resolve(source, options.to);
  const old = from === undefined ? undefined : await findReachable(source, from);
  const young = await findReachable(source, to);
  const { objectsFd } = source.files;
  const plan = planDelta(objectsFd, old, young, fallbackSize);
  using top = open(path, O_RDONLY | O_DIRECTORY);
  using output = new DeltaOutput(top);
  const jobs = plan.parts.map(
    (part, index): MakePartJob => ({
      objectsFd,
      part,
      directoryFd: output.directory.fd,
      name: String(index),
    }),
  );
  const made = await makeParts(jobs, options.jobs, progress, to);
  const directory = deltaDirectory(from, to);
  const storedSize = made.reduce((sum, part) => sum + part.storedSize, 0);
  if (inline && storedSize > MAX_INLINE_SIZE) {
    throw new CfsError("Unsupported", `${storedSize} bytes are too many to be in the superblock`, {
      hint: "make the delta without --inline",
    });
  }
  const inlineParts = inline ? takeParts(output, made) : [];
  const superblock = encodeSuperblock({
    from,
    to,
    commit: young.commit,
    directory,
    made,
    inlineParts,
    detached: await source.readDetachedMetadata(to),
    ...plan,
  });
  output.write("superblock", superblock);
  output.publish(directory);
  return {
    from,
    to,
    path: directory,
    parts: made.length,
    size: superblock.length + (inline ? 0 : storedSize),
    objects: plan.parts.reduce((sum, { metadata, files }) => sum + metadata.length + files.length, 0),
    fallbacks: plan.fallbacks.length,
  };
}

async function resolve(source: LocalRepository, name: string): Promise<Checksum> {
  return isChecksum(name) ? parseChecksum(name, name) : await source.resolveRef(name);
}

async function makeParts(
  jobs: readonly MakePartJob[],
  requested: number | undefined,
  progress: Progress,
  to: Checksum,
): Promise<MadePart[]> {
  using allowance = acquireJobs(requested);
  const id = `delta ${to}`;
  const totalBytes = jobs.reduce((sum, { part }) => sum + part.size, 0);
  progress.event({ type: "start", id, label: `delta ${to.slice(0, 12)}`, totalBytes });
  let bytes = 0;
  const onDone = (size: number) => {
    bytes += size;
    progress.event({ type: "advance", id, bytes });
  };
  const threads = totalBytes <= ALONE_SIZE ? 1 : Math.min(allowance.count, jobs.length);
  let made: MadePart[];
  if (threads <= 1) made = jobs.map((job) => makePart(job, onDone));
  else {
    await using pool = new WorkerPool(threads);
    made = await pool.run<MakePartJob, MadePart, number>("make-delta-part", jobs, onDone);
  }
  progress.event({ type: "done", id, label: `${jobs.length} delta parts`, bytes });
  return made;
}

/** Reads parts back, and removes their files. */
function takeParts(output: DeltaOutput, made: readonly MadePart[]): Uint8Array[] {
  return made.map(({ storedSize }, index) => {
    const name = String(index);
    using file = openat(output.directory.fd, name, O_RDONLY);
    const bytes = readSmallFile(file, storedSize);
    output.remove(name);
    return bytes;
  });
}

interface SuperblockContent {
  readonly from: Checksum | undefined;
  readonly to: Checksum;
  readonly commit: Uint8Array;
  readonly directory: string;
  readonly made: readonly MadePart[];
  readonly inlineParts: readonly Uint8Array[];
  /** What is kept beside the commit, such as its signatures. */
  readonly detached: Uint8Array | undefined;
  readonly fallbacks: readonly FallbackObject[];
}

function encodeSuperblock(content: SuperblockContent): Uint8Array<ArrayBuffer> {
  const { from, to, commit, directory, made, inlineParts, detached, fallbacks } = content;
  const metadata: Value[] = [
    [ENDIANNESS_KEY, new Variant("y", LITTLE_ENDIAN)],
    ...inlineParts.map((bytes, index) => [
      `${directory}/${index}`,
      new Variant("(yay)", [bytes[0]!, bytes.subarray(1)]),
    ]),
    ...(detached === undefined
      ? []
      : [
          [detachedKey(directory), new Variant("a{sv}", parseDetachedMetadata(detached) as unknown as Value)],
        ]),
  ];
  return writeGVariant(SUPERBLOCK, [
    metadata,
    // Of the commit, so that the delta does not depend on when it was made.
    swap64(parseCommit(commit).timestamp),
    from === undefined ? new Uint8Array(0) : checksumBytes(from),
    checksumBytes(to),
    readGVariant(COMMIT, commit),
    new Uint8Array(0),
    made.map((part) => [
      0,
      checksumBytes(part.checksum),
      BigInt(part.storedSize),
      BigInt(part.contentSize),
      part.names,
    ]),
    fallbacks.map(({ type, checksum, storedSize, contentSize }) => [
      OBJECT_TYPES[type],
      checksumBytes(checksum),
      BigInt(storedSize),
      BigInt(contentSize),
    ]),
  ]);
}
