import { CfsError } from "../../errors.ts";
import { acquireJobs } from "../../parallel/jobs.ts";
import { checkRepository, type FsckReport } from "../../repository/fsck.ts";
import { findKeepers } from "../../repository/keepers.ts";
import type { Repository } from "../../repository/repository.ts";
import { formatObjectId } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { printable } from "../printable.ts";
import { openRepository } from "../repository.ts";

/** More than these are only counted. */
const AFFECTED_SHOWN = 50;

/** `cfsctl fsck` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  using jobs = acquireJobs(context.globals.jobs);
  const report = await checkRepository(repository, {
    metadataOnly: args.flag("metadata-only"),
    deep: args.flag("deep"),
    jobs: jobs.count,
  });
  const json = args.flag("json");
  const strict = args.flag("strict-exit");
  const affected = findAffected(repository, report);
  // Without --strict-exit the JSON has the members that it always had, and no more.
  if (json) context.out.json({ ...jsonReport(report), ...(strict && { affected }) });
  else printReport(context, report);
  for (const cause of report.causes) context.err.line(`cfsctl: ${printable(cause)}`);
  if (!json) printAffected(context, affected);
  if (report.errors.length > 0 && (!json || strict)) {
    throw new CfsError("Corrupt", "repository integrity check failed", {
      hint: "pull or create again what is damaged; missing objects come back by themselves",
    });
  }
}

/** A damaged or missing object and the refs that need it. */
interface Affected {
  readonly object: string;
  readonly refs: readonly string[];
}

function findAffected(repository: Repository, { badObjects }: FsckReport): Affected[] {
  if (badObjects.size === 0) return [];
  const keepers = findKeepers(repository, badObjects);
  return [...badObjects].sort().map((id) => ({
    object: formatObjectId(id, repository.algorithm),
    refs: (keepers.get(id) ?? []).map(({ root }) => root),
  }));
}

function printAffected({ err }: Context, affected: readonly Affected[]): void {
  for (const { object, refs } of affected.slice(0, AFFECTED_SHOWN)) {
    err.line(`cfsctl: ${object} is needed by ${refs.length === 0 ? "no ref" : refs.join(", ")}`);
  }
  if (affected.length > AFFECTED_SHOWN) {
    err.line(`cfsctl: ${affected.length - AFFECTED_SHOWN} more objects are bad`);
  }
}

export function printReport({ out }: Context, report: FsckReport): void {
  const count = (what: string, checked: number, corrupted: number) =>
    out.line(`${what}: ${checked - corrupted}/${checked} ok`);
  const meta = report.metadataOk ? "ok" : "error";
  out.line(`meta.json: ${report.hasMetadata ? meta : "absent"}`);
  count("objects", report.objectsChecked, report.objectsCorrupted);
  count("streams", report.streamsChecked, report.streamsCorrupted);
  count("images", report.imagesChecked, report.imagesCorrupted);
  if (report.brokenLinks > 0) out.line(`broken symlinks: ${report.brokenLinks}`);
  if (report.missingObjects > 0) out.line(`missing objects: ${report.missingObjects}`);
  if (report.errors.length === 0) {
    out.line("status: ok");
    return;
  }
  out.line(`status: ${report.errors.length} error(s)`);
  for (const error of report.errors) out.line(`  - fsck: ${printable(error)}`);
}

export function jsonReport(report: FsckReport): object {
  return {
    ok: report.errors.length === 0,
    has_metadata: report.hasMetadata,
    objects_checked: report.objectsChecked,
    objects_corrupted: report.objectsCorrupted,
    streams_checked: report.streamsChecked,
    streams_corrupted: report.streamsCorrupted,
    images_checked: report.imagesChecked,
    images_corrupted: report.imagesCorrupted,
    broken_links: report.brokenLinks,
    missing_objects: report.missingObjects,
    errors: report.errors.map((error) => `fsck: ${error}`),
  };
}
