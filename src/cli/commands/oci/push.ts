import { writeFileSync } from "node:fs";
import { MAX_LEVELS } from "../../../compress/compressor.ts";
import type { Compression } from "../../../compress/sync.ts";
import { CfsError, describeError } from "../../../errors.ts";
import { loadRegistryConfiguration } from "../../../oci/containers/configuration.ts";
import { openTarget } from "../../../oci/push/open-target.ts";
import { type PushReport, pushImage } from "../../../oci/push/push.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { formatDuration, formatSize } from "../../format-bytes.ts";
import { registryOptions } from "../../registry-options.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci push IMAGE DEST` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const name = args.required("IMAGE");
  const destination = args.required("DEST");
  const compression = args.text("compression") as Compression;
  const level = checkLevel(compression, args.int("compression-level"));
  const digestFile = args.text("digestfile");
  const { jobs } = context.globals;
  using repository = openRepository(context);
  await using target = openTarget(repository, destination, {
    progress: context.progress,
    registries: loadRegistryConfiguration(registryOptions(args)),
    mountFrom: args.list("mount-from"),
    onRetry: (error, delay) => {
      const text = `${describeError(error)}; trying again in ${formatDuration(delay / 1000)}`;
      context.progress.event({ type: "message", text });
    },
  });
  const report = await pushImage(repository, name, target, {
    compression,
    level,
    progress: context.progress,
    ...(jobs !== undefined && { jobs }),
  });
  if (digestFile !== undefined) writeFileSync(digestFile, report.manifest);
  if (args.flag("json")) context.out.json(jsonReport(report, destination));
  else printReport(context, report, destination);
}

function checkLevel(compression: Compression, level: number | undefined): number | undefined {
  const max = MAX_LEVELS[compression];
  if (level === undefined || level <= max) return level;
  const range = max === 0 ? "has no levels" : `has levels from 1 to ${max}`;
  throw new CfsError("Usage", `invalid value '${level}' for '--compression-level': ${compression} ${range}`);
}

function printReport({ out, err }: Context, report: PushReport, destination: string): void {
  const { manifest, original, config, layers } = report;
  const unique = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  const count = (outcome: string) => unique.filter((layer) => layer.outcome === outcome).length;
  const written = unique.filter(({ outcome }) => outcome === "written");
  const bytes = written.reduce((sum, { size }) => sum + size, 0);
  out.line(`manifest ${manifest}`);
  out.line(`config   ${config}`);
  out.line(`pushed   ${destination}`);
  out.line(
    `layers   ${written.length} new (${formatSize(bytes)}) + ${count("mounted")} mounted + ` +
      `${count("present")} already present`,
  );
  if (manifest !== original) {
    err.line(
      `cfsctl: layers were packed anew, which makes it another manifest than ${original}; ` +
        "`oci pull --keep-blobs` keeps them as they are published",
    );
  }
}

function jsonReport(report: PushReport, destination: string): object {
  const { manifest, mediaType, original, config, layers } = report;
  return {
    destination,
    manifest,
    media_type: mediaType,
    original_manifest: original,
    is_original: manifest === original,
    config,
    layers: layers.map((layer) => ({
      digest: layer.digest,
      media_type: layer.mediaType,
      size: layer.size,
      original_digest: layer.original,
      as_pulled: layer.asPulled,
      outcome: layer.outcome,
    })),
  };
}
