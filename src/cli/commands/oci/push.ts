import { writeFileSync } from "node:fs";
import { MAX_LEVELS } from "../../../compress/compressor.ts";
import type { Compression } from "../../../compress/sync.ts";
import { CfsError, withContext } from "../../../errors.ts";
import { loadRegistryConfiguration } from "../../../oci/containers/configuration.ts";
import type { OciDigest } from "../../../oci/digest.ts";
import { openTarget } from "../../../oci/push/open-target.ts";
import {
  type IndexPushReport,
  type PushReport,
  pushAllPlatforms,
  pushImage,
} from "../../../oci/push/push.ts";
import type { PushedLayer, PushOptions } from "../../../oci/push/push-blobs.ts";
import type { BlobOutcome } from "../../../oci/push/target.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { formatSize } from "../../format-bytes.ts";
import { registryOptions, retriesShownIn } from "../../registry-options.ts";
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
    onRetry: retriesShownIn(context.progress),
  });
  const options: PushOptions = {
    compression,
    level,
    progress: context.progress,
    ...(jobs !== undefined && { jobs }),
  };
  const report = args.flag("all-platforms")
    ? await pushAllPlatforms(repository, name, target, options)
    : await pushImage(repository, name, target, options);
  if (digestFile !== undefined) writeDigest(digestFile, "index" in report ? report.index : report.manifest);
  if (args.flag("json")) context.out.json({ destination, ...jsonReport(report) });
  else printReport(context, report, destination);
}

/** The file may be a pipe or a terminal: it is written in place. */
function writeDigest(path: string, digest: OciDigest): void {
  try {
    writeFileSync(path, digest);
  } catch (error) {
    throw withContext(`${digest} is published, but --digestfile ${path} can't be written`, error);
  }
}

function checkLevel(compression: Compression, level: number | undefined): number | undefined {
  const max = MAX_LEVELS[compression];
  if (level === undefined || level <= max) return level;
  const range = max === 0 ? "has no levels" : `has levels from 1 to ${max}`;
  throw new CfsError("Usage", `invalid value '${level}' for '--compression-level': ${compression} ${range}`);
}

function printReport({ out, err }: Context, report: PushReport | IndexPushReport, destination: string): void {
  const images = "index" in report ? report.images : [report];
  if ("index" in report) out.line(`index    ${report.index}`);
  for (const { manifest, config } of images) {
    out.line(`manifest ${manifest}`);
    out.line(`config   ${config}`);
  }
  out.line(`pushed   ${destination}`);
  // One that several images have was there already when it came again.
  const layers = new Map<string, PushedLayer>();
  for (const layer of images.flatMap((image) => image.layers))
    if (!layers.has(layer.original)) layers.set(layer.original, layer);
  const having = (outcome: BlobOutcome) => [...layers.values()].filter((layer) => layer.outcome === outcome);
  const count = (outcome: BlobOutcome) => having(outcome).length;
  const bytes = having("written").reduce((sum, { size }) => sum + size, 0);
  out.line(
    `layers   ${count("written")} new (${formatSize(bytes)}) + ${count("mounted")} mounted + ` +
      `${count("present")} already present`,
  );
  const changed = images.filter(({ manifest, original }) => manifest !== original);
  for (const { manifest, original } of changed)
    err.line(`cfsctl: ${manifest} stands for ${original}, whose layers were packed anew`);
  if (changed.length > 0)
    err.line("cfsctl: with `oci pull --keep-blobs`, they are kept as they are published");
}

function jsonReport(report: PushReport | IndexPushReport): object {
  if ("index" in report) {
    const { index, mediaType, original, images } = report;
    return {
      index,
      media_type: mediaType,
      original_index: original,
      is_original: index === original,
      images: images.map(jsonReport),
    };
  }
  const { manifest, mediaType, original, config, layers } = report;
  return {
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
