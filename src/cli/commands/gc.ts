import { collectGarbage, type GcReport } from "../../repository/gc.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

/** More than these are only counted. */
const STRAYS_SHOWN = 20;

/** `cfsctl gc` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const dryRun = args.flag("dry-run");
  const report = collectGarbage(repository, { roots: args.list("root"), dryRun });
  warnOfStrays(context, report.strays);
  if (args.flag("json")) context.out.json(jsonReport(report, dryRun));
  else printReport(context, report, dryRun);
}

function warnOfStrays({ err }: Context, strays: readonly string[]): void {
  for (const stray of strays.slice(0, STRAYS_SHOWN)) err.warning(`left alone: ${stray}`);
  if (strays.length > STRAYS_SHOWN) err.warning(`left alone: ${strays.length - STRAYS_SHOWN} more files`);
}

function printReport({ out, err }: Context, report: GcReport, dryRun: boolean): void {
  if (dryRun) out.line("Dry run (no files deleted):");
  out.line(`Objects: ${report.objectsRemoved} removed (${report.bytesRemoved} bytes)`);
  if (report.imagesPruned + report.streamsPruned > 0) {
    out.line(`Pruned symlinks: ${report.imagesPruned} images, ${report.streamsPruned} streams`);
  }
  if (report.temporaryFilesRemoved > 0) {
    err.line(`cfsctl: removed ${report.temporaryFilesRemoved} left-over temporary files`);
  }
}

function jsonReport(report: GcReport, dryRun: boolean): object {
  return {
    dry_run: dryRun,
    objects_removed: report.objectsRemoved,
    bytes_removed: report.bytesRemoved,
    images_pruned: report.imagesPruned,
    streams_pruned: report.streamsPruned,
    temporary_files_removed: report.temporaryFilesRemoved,
    strays: report.strays,
  };
}
