import { acquireJobs } from "../../parallel/jobs.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Directory } from "../../tree/model.ts";
import { type Checksum, computeChecksum } from "../checksum.ts";
import { CommitStreamWriter } from "../commit-stream-writer.ts";
import { Variant } from "../gvariant.ts";
import { commitRefName } from "../names.ts";
import { type Commit, encodeCommit } from "../objects.ts";
import { type NewCommit, storeCommit } from "../stored-commit.ts";
import type { MetadataRules } from "./metadata.ts";
import { addTree } from "./tree-objects.ts";

/** What is written into a commit beside its tree. */
export interface CommitDetails {
  readonly parent?: Checksum | undefined;
  readonly subject?: string | undefined;
  readonly body?: string | undefined;
  /** Seconds since 1970. */
  readonly timestamp: bigint;
  readonly metadata?: readonly (readonly [key: string, value: Variant])[];
}

export interface CommitTreeOptions extends CommitDetails {
  /** Name below `refs/ostree/` for the commit, which is also written into it. */
  readonly ref?: string | undefined;
  readonly rules: MetadataRules;
  /** See `TreeOptions`. */
  readonly cleanXattrNames?: boolean;
  /** See `StoreCommitOptions`. */
  readonly imageTree?: Directory | undefined;
  /** Threads; see `acquireJobs` for the default. */
  readonly jobs?: number | undefined;
  readonly progress?: Progress;
}

export interface MadeCommit extends NewCommit {
  readonly details: Commit;
}

/** Key of the refs that a commit was made for, by which libostree finds out that a ref points to another's commit. */
const REF_BINDING = "ostree.ref-binding";

/**
 * Makes a commit of a tree and stores it: the objects, the stream that lists them, an image, and at last the ref.
 * @param root files above 64 bytes are in the repository's object store. It is taken apart, unless it becomes the image.
 * @throws CfsError Unsupported for what can't be in a commit
 */
export async function commitTree(
  repository: Repository,
  root: Directory,
  options: CommitTreeOptions,
): Promise<MadeCommit> {
  const { ref, rules, cleanXattrNames = false, imageTree } = options;
  if (ref !== undefined) commitRefName(ref);
  repository.ensureWritable();
  const objects = new CommitStreamWriter(repository.algorithm);
  using jobs = acquireJobs(options.jobs);
  const progress = options.progress ?? silentProgress;
  const roots = await addTree(root, repository.objects, objects, rules, {
    jobs: jobs.count,
    progress,
    // A tree of its own is made of the commit, which takes as much memory.
    consume: imageTree === undefined,
  });
  await freeMemory(objects.length);
  const details: Commit = {
    metadata: metadataOf(options),
    parent: options.parent,
    related: [],
    subject: options.subject ?? "",
    body: options.body ?? "",
    timestamp: options.timestamp,
    ...roots,
  };
  const bytes = encodeCommit(details);
  const commit = computeChecksum(bytes);
  objects.add(commit, bytes);
  const stored = storeCommit(repository, objects, commit, { ref, cleanXattrNames, imageTree });
  return { ...stored, details };
}

const MANY_OBJECTS = 5000;

/** Until the next turn of the event loop, what has gone out of use may still be found on the stack. */
async function freeMemory(objects: number): Promise<void> {
  if (objects < MANY_OBJECTS) return;
  await new Promise((resolve) => setTimeout(resolve, 0));
  Bun.gc(true);
}

function metadataOf({ metadata = [], ref }: CommitTreeOptions): Commit["metadata"] {
  if (ref === undefined || metadata.some(([key]) => key === REF_BINDING)) return metadata;
  return [...metadata, [REF_BINDING, new Variant("as", [ref])]];
}
