import { CfsError, describeError } from "../errors.ts";
import { acquireJobs } from "../parallel/jobs.ts";
import { sharedCopy } from "../parallel/shared-copy.ts";
import { workTogether } from "../parallel/together.ts";
import { type Progress, silentProgress } from "../progress.ts";
import type { Repository } from "../repository/repository.ts";
import { DigestTable } from "../verity/digest-table.ts";
import { CHECKSUM_SIZE, type Checksum } from "./checksum.ts";
import { CommitStreamWriter } from "./commit-stream-writer.ts";
import { type CommitTable, NO_EXTERNAL } from "./commit-table.ts";
import { type ObjectTypes, objectTypes, recordedSize } from "./describe-objects.ts";
import { parseDetachedMetadata, readDetachedMetadata } from "./detached-metadata.ts";
import { type CheckPayload, CheckTask, MAX_FAULTS, type ObjectFault, UNKNOWN_TYPE } from "./fsck-job.ts";
import { commitOfStreamName, commitStreamName } from "./names.ts";
import { OBJECT_TYPES } from "./objects.ts";
import { listCommits } from "./resolve.ts";
import { collectGarbage, listCommitRefs, openCommit, type StoredCommit } from "./stored-commit.ts";
import { buildCommitTree } from "./tree.ts";

export interface CommitFault {
  readonly commit: Checksum;
  /** Names of the commit. */
  readonly refs: readonly string[];
  readonly what: string;
}

export interface CommitCheckReport {
  readonly commitsChecked: number;
  readonly commitsCorrupted: number;
  /** ostree objects, each counted once. */
  readonly objectsChecked: number;
  readonly faults: readonly CommitFault[];
}

/** Less than this is done before a line about it could be read. */
const PROGRESS_BYTES = 64 * 1024 * 1024;

/**
 * Checks commits: that their streams have the one form that their objects allow, that every object has its checksum,
 * the content of files included, that nothing is missing and that the image is there.
 * @param wanted one commit instead of all.
 * @param jobs threads; see `acquireJobs` for the default.
 */
export async function checkCommits(
  repository: Repository,
  wanted?: Checksum,
  progress: Progress = silentProgress,
  jobs?: number,
): Promise<CommitCheckReport> {
  const names = new Map<Checksum, string[]>();
  for (const { name, stream } of listCommitRefs(repository)) {
    const commit = commitOfStreamName(stream);
    if (commit !== undefined) names.set(commit, [...(names.get(commit) ?? []), name]);
  }
  // Also what only a name is left of.
  const commits = wanted === undefined ? new Set([...listCommits(repository), ...names.keys()]) : [wanted];
  using allowance = acquireJobs(jobs);
  const check = new CommitCheck(repository, progress, allowance.count);
  const faults: CommitFault[] = [];
  let corrupted = 0;
  let count = 0;
  for (const commit of commits) {
    const found = await check.commit(commit);
    count++;
    if (found.length > 0) corrupted++;
    const refs = names.get(commit) ?? [];
    faults.push(...found.map((what) => ({ commit, refs, what })));
  }
  return { commitsChecked: count, commitsCorrupted: corrupted, objectsChecked: check.objectsChecked, faults };
}

class CommitCheck {
  readonly #repository: Repository;
  readonly #progress: Progress;
  readonly #jobs: number;
  /**
   * Objects that are right, each with that of its content, or zeros: commits of one history have most of them in
   * common.
   */
  readonly #right: DigestTable;
  readonly #key: Buffer;
  objectsChecked = 0;

  constructor(repository: Repository, progress: Progress, jobs: number) {
    this.#repository = repository;
    this.#progress = progress;
    this.#jobs = jobs;
    this.#key = Buffer.alloc(CHECKSUM_SIZE + repository.algorithm.size);
    this.#right = new DigestTable(this.#key.length);
  }

  /** @returns what is wrong with it. */
  async commit(commit: Checksum): Promise<string[]> {
    const faults: string[] = [];
    const attempt = <T>(action: () => T): T | undefined => {
      try {
        return action();
      } catch (error) {
        if (!(error instanceof CfsError)) throw error;
        faults.push(describeError(error));
        return undefined;
      }
    };
    this.#progress.event({ type: "message", text: `checking commit ${commit}` });
    const stored = attempt(() => openCommit(this.#repository, commit));
    if (stored === undefined) {
      return faults.length > 0 ? faults : [`stream '${commitStreamName(commit)}' is missing`];
    }
    const { table, image, subpaths } = stored;
    const types = attempt(() => objectTypes(table, subpaths));
    faults.push(...(await this.#objects(table, types)));
    if (faults.length > 0) return faults.slice(0, MAX_FAULTS);
    attempt(() => this.#structure(stored));
    attempt(() => this.#signatures(commit));
    if (image === undefined) faults.push("no image is recorded");
    else if (!this.#repository.objects.has(image)) faults.push(`the image ${image} is missing`);
    return faults;
  }

  /** @returns what is wrong with the objects of a commit, in their order. */
  async #objects(table: CommitTable, types: ObjectTypes | undefined): Promise<string[]> {
    const faults: (ObjectFault & { readonly index: number })[] = [];
    const wanted: number[] = [];
    const wantedTypes: number[] = [];
    let totalBytes = 0;
    for (let index = 0; index < table.length; index++) {
      const type = types?.at(index);
      try {
        if (this.#right.find(this.#keyOf(table, index), 0) >= 0) continue;
        this.objectsChecked++;
        if (types !== undefined && type === undefined)
          throw new CfsError("Corrupt", `nothing refers to the object ${table.checksumAt(index)}`);
        totalBytes += type === "file" ? recordedSize(table, index) : 0;
      } catch (error) {
        if (!(error instanceof CfsError)) throw error;
        faults.push({ position: 0, index, what: describeError(error) });
        continue;
      }
      wanted.push(index);
      wantedTypes.push(type === undefined ? UNKNOWN_TYPE : OBJECT_TYPES[type]);
    }
    const found = await this.#check(table, wanted, wantedTypes, totalBytes);
    for (const fault of found) faults.push({ ...fault, index: wanted[fault.position]! });
    // Of so many not all are told.
    if (found.length < MAX_FAULTS) {
      const wrong = new Set(found.map(({ position }) => wanted[position]!));
      for (const [position, index] of wanted.entries()) {
        if (wantedTypes[position] !== UNKNOWN_TYPE && !wrong.has(index))
          this.#right.indexOfBytes(this.#keyOf(table, index), 0);
      }
    }
    return faults.sort((a, b) => a.index - b.index).map(({ what }) => what);
  }

  /** @throws CfsError Corrupt */
  #keyOf(table: CommitTable, index: number): Buffer {
    const { size } = this.#repository.algorithm;
    const external = table.externalIndex(index);
    const start = table.checksumStart(index);
    table.bytes.copy(this.#key, 0, start, start + CHECKSUM_SIZE);
    if (external === NO_EXTERNAL) this.#key.fill(0, CHECKSUM_SIZE);
    else table.objects.bytes.copy(this.#key, CHECKSUM_SIZE, external * size, (external + 1) * size);
    return this.#key;
  }

  async #check(
    table: CommitTable,
    indices: readonly number[],
    types: readonly number[],
    totalBytes: number,
  ): Promise<ObjectFault[]> {
    const payload: CheckPayload = {
      store: this.#repository.objects.handle,
      table: sharedCopy(table.bytes),
      objects: sharedCopy(table.objects.bytes),
      indices: sharedCopy(new Uint8Array(Uint32Array.from(indices).buffer)),
      types: sharedCopy(Uint8Array.from(types)),
      shared: new SharedArrayBuffer(16),
    };
    const progress = this.#progress;
    const id = `fsck ${table.commit}`;
    const isLong = totalBytes >= PROGRESS_BYTES;
    const label = `commit ${table.commit.slice(0, 12)}`;
    if (isLong) progress.event({ type: "start", id, label, totalBytes });
    const task = new CheckTask(payload, (bytes) => {
      if (isLong) progress.event({ type: "advance", id, bytes });
    });
    const faults = await workTogether(
      {
        job: "ostree-fsck",
        payload,
        work: (deadlineMs) => task.run(deadlineMs),
        left: () => task.groupsLeft,
      },
      this.#jobs,
    );
    if (isLong) progress.event({ type: "done", id, bytes: totalBytes });
    return faults.flat();
  }

  #signatures(commit: Checksum): void {
    const bytes = readDetachedMetadata(this.#repository, commit);
    if (bytes !== undefined) parseDetachedMetadata(bytes);
  }

  #structure({ table, subpaths }: StoredCommit): void {
    collectGarbage(table);
    buildCommitTree(table, table.commit, { subpaths });
    collectGarbage(table);
    const writer = new CommitStreamWriter(this.#repository.algorithm);
    writer.addMarked(table, new Uint8Array(table.length).fill(1));
    const { table: rewritten } = writer.finish(table.commit);
    const isSame =
      rewritten.bytes.compare(table.bytes) === 0 &&
      rewritten.objects.bytes.compare(table.objects.bytes) === 0;
    if (!isSame)
      throw new CfsError("Corrupt", "the stream is not what its objects give when they are written");
  }
}
