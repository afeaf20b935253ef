import { CfsError, withContext } from "../../errors.ts";
import { referrerCondition } from "../../oci/referrers.ts";
import { detachedMetadataCondition } from "../../ostree/detached-metadata.ts";
import { checkRoot } from "../../repair/stream-name.ts";
import { collectGarbage, type GcReport } from "../../repository/gc.ts";
import { findKeepers } from "../../repository/keepers.ts";
import type { Repository } from "../../repository/repository.ts";
import { formatObjectId, type ObjectId, parseObjectId } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { printable } from "../printable.ts";
import { openRepository } from "../repository.ts";

/** More than these are only counted. */
const STRAYS_SHOWN = 20;

/** `cfsctl gc` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const why = args.text("why");
  if (why !== undefined) {
    explain(context, repository, objectNamed(repository, why), args.flag("json"));
    return;
  }
  const dryRun = args.flag("dry-run");
  const report = collectGarbage(repository, {
    roots: args.list("root"),
    condition: (ref) => referrerCondition(ref) ?? detachedMetadataCondition(ref),
    checkRoot,
    dryRun,
  });
  for (const name of report.unknownRoots) {
    context.err.warning(`--root ${name}: no image or stream below images/ or streams/ has this name`);
  }
  warnOfStrays(context, report.strays);
  const list = args.flag("list");
  if (args.flag("json")) context.out.json(jsonReport(report, dryRun, list));
  else printReport(context, report, dryRun, list);
}

function objectNamed(repository: Repository, text: string): ObjectId {
  const { algorithm, objects } = repository;
  const prefix = `${algorithm.hash}:`;
  let id: ObjectId;
  try {
    id = parseObjectId(text.startsWith(prefix) ? text.slice(prefix.length) : text, algorithm);
  } catch (error) {
    throw withContext(`'${text}' is no id of an object in this repository`, error);
  }
  if (!objects.has(id)) throw new CfsError("NotFound", `there is no object ${formatObjectId(id, algorithm)}`);
  return id;
}

/** One line for each ref that needs the object: `REF -> STREAM OR IMAGE -> … -> OBJECT`. */
function explain({ out }: Context, repository: Repository, object: ObjectId, json: boolean): void {
  const keepers = findKeepers(repository, new Set([object])).get(object) ?? [];
  const name = formatObjectId(object, repository.algorithm);
  if (json) out.json({ object: name, kept_by: keepers });
  else if (keepers.length === 0) out.line(`${name} is not needed by any ref`);
  else for (const { root, via } of keepers) out.line([root, ...via, name].join(" -> "));
}

function warnOfStrays({ err }: Context, strays: readonly string[]): void {
  for (const stray of strays.slice(0, STRAYS_SHOWN)) err.warning(`left alone: ${stray}`);
  if (strays.length > STRAYS_SHOWN) err.warning(`left alone: ${strays.length - STRAYS_SHOWN} more files`);
}

function printReport({ out, err }: Context, report: GcReport, dryRun: boolean, list: boolean): void {
  if (dryRun) out.line("Dry run (no files deleted):");
  if (list) for (const path of report.removed()) out.line(printable(path));
  out.line(`Objects: ${report.objectsRemoved} removed (${report.bytesRemoved} bytes)`);
  if (report.imagesPruned + report.streamsPruned > 0) {
    out.line(`Pruned symlinks: ${report.imagesPruned} images, ${report.streamsPruned} streams`);
  }
  if (report.temporaryFilesRemoved > 0) {
    const verb = dryRun ? "would remove" : "removed";
    err.line(`cfsctl: ${verb} ${report.temporaryFilesRemoved} left-over temporary files`);
  }
}

function jsonReport(report: GcReport, dryRun: boolean, list: boolean): object {
  return {
    dry_run: dryRun,
    objects_removed: report.objectsRemoved,
    bytes_removed: report.bytesRemoved,
    images_pruned: report.imagesPruned,
    streams_pruned: report.streamsPruned,
    temporary_files_removed: report.temporaryFilesRemoved,
    strays: report.strays,
    ...(list && { removed: [...report.removed()] }),
  };
}
