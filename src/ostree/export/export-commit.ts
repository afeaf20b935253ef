import { CfsError } from "../../errors.ts";
import { acquireJobs } from "../../parallel/jobs.ts";
import { sharedCopy } from "../../parallel/shared-copy.ts";
import { workTogether } from "../../parallel/together.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { type Checksum, computeChecksum } from "../checksum.ts";
import type { CommitTable } from "../commit-table.ts";
import { objectTypes, recordedSize } from "../describe-objects.ts";
import { readDetachedMetadata } from "../detached-metadata.ts";
import { type MetadataType, parseDirMeta } from "../objects.ts";
import type { StoredCommit } from "../stored-commit.ts";
import { type ExportPayload, ExportTask } from "./export-job.ts";
import { ObjectWriter } from "./object-writer.ts";
import type { ExportTarget } from "./target.ts";

export interface ExportOptions {
  /** Name below `refs/heads/`, written when all else is in place. */
  readonly ref?: string | undefined;
  /** Threads; see `acquireJobs` for the default. */
  readonly jobs?: number | undefined;
  readonly progress?: Progress;
}

export interface ExportReport {
  /** Files of the commit, and how many of them were not there already; the same of all other objects. */
  readonly files: number;
  readonly newFiles: number;
  readonly metadata: number;
  readonly newMetadata: number;
}

/** Less than this is done before a line about it could be read. */
const PROGRESS_BYTES = 64 * 1024 * 1024;
const MANY_OBJECTS = 5000;

/**
 * Writes a commit into an ostree repository: files, then directories, then the commit, then the ref, each when what it
 * refers to is on disk. Every object is checked against its checksum. A commit that is there in part becomes one in the
 * ostree repository.
 * @throws CfsError Corrupt; Unsupported when a repository of this mode can't hold the commit
 */
export async function exportCommit(
  repository: Repository,
  { commit, table, subpaths }: StoredCommit,
  target: ExportTarget,
  options: ExportOptions = {},
): Promise<ExportReport> {
  const metadata: { type: MetadataType; checksum: Checksum; bytes: Uint8Array }[] = [];
  const files: number[] = [];
  const types = objectTypes(table, subpaths);
  types.expectAll();
  for (let index = 0; index < table.length; index++) {
    const type = types.at(index);
    if (type === undefined) continue;
    if (type === "file") {
      files.push(index);
      continue;
    }
    const checksum = table.checksumAt(index);
    metadata.push({ type, checksum, bytes: verified(type, checksum, table.dataAt(index)) });
  }
  // Finding out what the objects are takes much more memory than the result.
  if (table.length > MANY_OBJECTS) Bun.gc(true);
  const newFiles = await exportFiles(repository, table, files, target, options);
  const writer = new ObjectWriter(target, repository.objects);
  let newMetadata = 0;
  const write = (isWanted: (type: MetadataType) => boolean) => {
    for (const { type, checksum, bytes } of metadata)
      if (isWanted(type) && writer.writeMetadata(type, checksum, bytes)) newMetadata++;
    target.sync();
  };
  write((type) => type !== "commit");
  const detached = readDetachedMetadata(repository, commit);
  if (detached !== undefined) await target.writeDetachedMetadata(commit, detached);
  if (subpaths !== undefined) target.markPartial(commit);
  write((type) => type === "commit");
  if (subpaths === undefined) target.unmarkPartial(commit);
  if (options.ref !== undefined) target.writeRef(options.ref, commit);
  return { files: files.length, newFiles, metadata: metadata.length, newMetadata };
}

function verified(type: MetadataType, checksum: Checksum, bytes: Uint8Array): Uint8Array {
  const found = computeChecksum(bytes);
  if (found !== checksum) {
    throw new CfsError("Corrupt", `${type} object checksum mismatch: expected ${checksum}, got ${found}`, {
      hint: "run `cfsctl ostree fsck`, and pull the commit again",
    });
  }
  if (type === "dirmeta") parseDirMeta(bytes);
  return bytes;
}

/** @returns how many of the files were not there already. */
async function exportFiles(
  repository: Repository,
  table: CommitTable,
  files: readonly number[],
  { mode, objectsFd, tmpFd }: ExportTarget,
  options: ExportOptions,
): Promise<number> {
  using jobs = acquireJobs(options.jobs);
  const progress = options.progress ?? silentProgress;
  const payload: ExportPayload = {
    store: repository.objects.handle,
    target: { mode, objectsFd, tmpFd },
    table: sharedCopy(table.bytes),
    objects: sharedCopy(table.objects.bytes),
    // By their checksums: directories of the target are filled one after the other.
    files: sharedCopy(new Uint8Array(Uint32Array.from(files).sort().buffer)),
    shared: new SharedArrayBuffer(16),
  };
  const totalBytes = files.reduce((sum, index) => sum + recordedSize(table, index), 0);
  const id = "export";
  const isLong = totalBytes >= PROGRESS_BYTES;
  if (isLong) progress.event({ type: "start", id, label: `exporting ${files.length} files`, totalBytes });
  const task = new ExportTask(payload, (bytes) => {
    if (isLong) progress.event({ type: "advance", id, bytes });
  });
  await workTogether(
    {
      job: "ostree-export",
      payload,
      work: (deadlineMs) => task.run(deadlineMs),
      left: () => task.groupsLeft,
    },
    jobs.count,
  );
  if (isLong) progress.event({ type: "done", id, bytes: totalBytes });
  return task.written;
}
