import { display } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { acquireJobs } from "../../parallel/jobs.ts";
import { checkDeep, type DeepReport } from "../../repair/check.ts";
import { type AffectedFinding, allAffected, findAffected } from "../../repository/affected.ts";
import { checkRepository, type FsckReport } from "../../repository/fsck.ts";
import type { Repository } from "../../repository/repository.ts";
import { type Algorithm, formatObjectId } from "../../verity/digest.ts";
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
  if (args.flag("repair")) {
    const { repair } = await import("./fsck-repair.ts");
    await repair(context, repository, args, jobs.count);
    return;
  }
  const deep = args.flag("deep") ? await checkDeep(repository, jobs.count, context.progress) : undefined;
  const report =
    deep?.repository ??
    (await checkRepository(repository, { metadataOnly: args.flag("metadata-only"), jobs: jobs.count }));
  const findings = deep?.findings ?? findAffected(repository, report.findings);
  if (args.flag("json")) {
    // Without --strict-exit the JSON has the members that it always had, and no more.
    const strict = args.flag("strict-exit");
    context.out.json({
      ...jsonReport(report),
      ok: findings.length === 0,
      ...(strict && jsonFindings(findings, repository.algorithm)),
    });
    if (!strict) return;
  } else {
    printReport(context, report);
    if (deep !== undefined) printDeepReport(context, deep);
    printCauses(context, report);
    printAffected(context, findings);
  }
  if (findings.length > 0) throw integrityError(repository);
}

export function integrityError({ path }: Repository): CfsError {
  return new CfsError("Corrupt", "repository integrity check failed", {
    hint: `\`cfsctl --repo ${path} fsck --repair --from SOURCE\` mends what a healthy source has`,
  });
}

export function printAffected({ err }: Context, findings: readonly AffectedFinding[]): void {
  const affected = allAffected(findings);
  for (const ref of affected.slice(0, AFFECTED_SHOWN)) err.line(`cfsctl: affected: ${printable(ref)}`);
  if (affected.length > AFFECTED_SHOWN)
    err.line(`cfsctl: affected: ${affected.length - AFFECTED_SHOWN} more refs`);
  if (findings.length > 0 && affected.length === 0) err.line("cfsctl: no ref is affected");
}

/** What is wrong with container images and commits, if there are any. */
export function printDeepReport({ out }: Context, { images, commits }: DeepReport): void {
  if (images.imagesChecked > 0) {
    out.line(`oci images: ${images.imagesChecked - images.imagesCorrupted}/${images.imagesChecked} ok`);
    for (const error of images.errors) out.line(`  - ${printable(error)}`);
  }
  if (commits.commitsChecked > 0) {
    const { commitsChecked, commitsCorrupted } = commits;
    out.line(`ostree commits: ${commitsChecked - commitsCorrupted}/${commitsChecked} ok`);
    for (const { commit, refs, what } of commits.faults)
      out.line(`  - ${printable(`${[commit, ...refs].join(" ")}: ${what}`)}`);
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
  const { errors } = report;
  if (errors.length === 0) {
    out.line("status: ok");
    return;
  }
  out.line(`status: ${errors.length} error(s)`);
  for (const error of errors) out.line(`  - fsck: ${printable(error)}`);
}

/** Why streams could not be opened, which the report does not say. */
export function printCauses({ err }: Context, { findings }: FsckReport): void {
  for (const { path, cause } of findings)
    if (cause !== undefined) err.line(`cfsctl: ${printable(`${display(path)}: ${cause}`)}`);
}

export function jsonReport(report: FsckReport): object {
  return {
    ok: report.findings.length === 0,
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

/** All findings, also those of a deep check, and the refs that they concern. */
export function jsonFindings(findings: readonly AffectedFinding[], algorithm: Algorithm) {
  return {
    affected: allAffected(findings),
    findings: findings.map(({ kind, path, detail, cause, object, affected }) => ({
      kind,
      path: display(path),
      detail: detail ?? null,
      cause: cause ?? null,
      object: object === undefined ? null : formatObjectId(object, algorithm),
      affected,
    })),
  };
}
