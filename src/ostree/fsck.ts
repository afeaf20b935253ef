import { CfsError, describeError } from "../errors.ts";
import { type Progress, silentProgress } from "../progress.ts";
import type { Repository } from "../repository/repository.ts";
import { pread } from "../sys/file.ts";
import { fstat } from "../sys/stat.ts";
import type { ObjectId } from "../verity/digest.ts";
import { type Checksum, computeChecksum } from "./checksum.ts";
import { CommitStreamWriter } from "./commit-stream-writer.ts";
import type { CommitTable } from "./commit-table.ts";
import { objectTypes } from "./describe-objects.ts";
import { parseDetachedMetadata, readDetachedMetadata } from "./detached-metadata.ts";
import { archiveHeaderLength, FileHasher, parseArchiveHeader } from "./file-header.ts";
import { commitOfStreamName, commitStreamName } from "./names.ts";
import type { ObjectType } from "./objects.ts";
import { listCommits } from "./resolve.ts";
import { listCommitRefs, openCommit, type StoredCommit } from "./stored-commit.ts";
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

const PIECE = 1024 * 1024;
/** Faults of one commit that are told. */
const MAX_FAULTS = 100;

/**
 * Checks commits: that their streams have the one form that their objects allow, that every object has its checksum,
 * the content of files included, that nothing is missing and that the image is there.
 * @param wanted one commit instead of all.
 */
export function checkCommits(
  repository: Repository,
  wanted?: Checksum,
  progress: Progress = silentProgress,
): CommitCheckReport {
  const names = new Map<Checksum, string[]>();
  for (const { name, stream } of listCommitRefs(repository)) {
    const commit = commitOfStreamName(stream);
    if (commit !== undefined) names.set(commit, [...(names.get(commit) ?? []), name]);
  }
  // Also what only a name is left of.
  const commits = wanted === undefined ? new Set([...listCommits(repository), ...names.keys()]) : [wanted];
  const check = new CommitCheck(repository, progress);
  const faults: CommitFault[] = [];
  let corrupted = 0;
  let count = 0;
  for (const commit of commits) {
    const found = check.commit(commit);
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
  /** Objects that are right, with their content: commits of one history have most of them in common. */
  readonly #right = new Map<Checksum, ObjectId | undefined>();
  readonly #buffer = new Uint8Array(PIECE);
  objectsChecked = 0;

  constructor(repository: Repository, progress: Progress) {
    this.#repository = repository;
    this.#progress = progress;
  }

  /** @returns what is wrong with it. */
  commit(commit: Checksum): string[] {
    const faults: string[] = [];
    const attempt = <T>(action: () => T): T | undefined => {
      try {
        return action();
      } catch (error) {
        if (!(error instanceof CfsError)) throw error;
        if (faults.length < MAX_FAULTS) faults.push(describeError(error));
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
    for (let i = 0; i < table.length; i++) attempt(() => this.#object(table, i, types));
    if (faults.length > 0) return faults;
    attempt(() => this.#structure(stored));
    attempt(() => this.#signatures(commit));
    if (image === undefined) faults.push("no image is recorded");
    else if (!this.#repository.objects.has(image)) faults.push(`the image ${image} is missing`);
    return faults;
  }

  #object(table: CommitTable, index: number, types: ReadonlyMap<Checksum, ObjectType> | undefined): void {
    const checksum = table.checksumAt(index);
    const external = table.externalAt(index);
    if (this.#right.has(checksum) && this.#right.get(checksum) === external) return;
    this.objectsChecked++;
    const data = table.dataAt(index);
    const type = types?.get(checksum);
    if (type === undefined && types !== undefined) {
      throw new CfsError("Corrupt", `nothing refers to the object ${checksum}`);
    }
    const isFile = type === "file" || external !== undefined;
    const found = isFile ? this.#fileChecksum(checksum, data, external) : computeChecksum(data);
    if (found !== checksum && type !== undefined) {
      throw new CfsError("Corrupt", `${type} ${checksum} has the checksum ${found}`);
    }
    if (type !== undefined) this.#right.set(checksum, external);
  }

  #fileChecksum(checksum: Checksum, data: Uint8Array, external: ObjectId | undefined): Checksum {
    const length = archiveHeaderLength(data);
    const { header, size } = parseArchiveHeader(data.subarray(0, length));
    const hasher = new FileHasher(header);
    hasher.update(data.subarray(length));
    const contentSize = external === undefined ? data.length - length : this.#content(external, hasher);
    // The checksum does not cover it.
    if (contentSize !== size)
      throw new CfsError("Corrupt", `file ${checksum} has ${contentSize} bytes instead of ${size}`);
    return hasher.digest();
  }

  #content(id: ObjectId, hasher: FileHasher): number {
    using file = this.#repository.objects.open(id);
    const { size } = fstat(file);
    for (let at = 0; at < size; at += PIECE) {
      const length = pread(file.fd, this.#buffer, at, file.path);
      hasher.update(this.#buffer.subarray(0, length));
    }
    return size;
  }

  #signatures(commit: Checksum): void {
    const bytes = readDetachedMetadata(this.#repository, commit);
    if (bytes !== undefined) parseDetachedMetadata(bytes);
  }

  #structure({ table, subpaths }: StoredCommit): void {
    buildCommitTree(table, table.commit, { subpaths });
    const writer = new CommitStreamWriter(this.#repository.algorithm);
    for (let i = 0; i < table.length; i++)
      writer.add(table.checksumAt(i), table.dataAt(i), table.externalAt(i));
    const { table: rewritten } = writer.finish(table.commit);
    const isSame =
      rewritten.bytes.compare(table.bytes) === 0 &&
      rewritten.objects.bytes.compare(table.objects.bytes) === 0;
    if (!isSame)
      throw new CfsError("Corrupt", "the stream is not what its objects give when they are written");
  }
}
