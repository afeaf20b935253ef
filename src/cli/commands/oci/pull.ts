import { CfsError, withContext } from "../../../errors.ts";
import type { OciDigest } from "../../../oci/digest.ts";
import { BOOT_COMBINATIONS, findBootImage } from "../../../oci/find-boot-image.ts";
import { imageConfigOf, openManifest } from "../../../oci/image.ts";
import { formatPlatform, hostPlatform, parsePlatform, rankPlatform } from "../../../oci/platform.ts";
import type { DeltaUse } from "../../../oci/pull/choose-layers.ts";
import { type PullOptions, type PullReport, pullImage } from "../../../oci/pull/pull.ts";
import { pullReferrers } from "../../../oci/pull/referrers.ts";
import { type IndexReport, pullAllPlatforms } from "../../../oci/pull-index.ts";
import type { Repository } from "../../../repository/repository.ts";
import { type ObjectId, parseObjectId } from "../../../verity/digest.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { formatSize } from "../../format-bytes.ts";
import { openRepository } from "../../repository.ts";
import { openSourceArgument } from "./source.ts";

/** `cfsctl oci pull IMAGE [NAME]` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  repository.ensureWritable();
  const expected = expectedDigest(args, repository);
  const { reference, source: opened } = await openSourceArgument(context, repository, args);
  using source = opened;
  const { jobs } = context.globals;
  const options: PullOptions = {
    tag: args.optional("NAME") ?? reference.text,
    progress: context.progress,
    keepBlobs: args.flag("keep-blobs"),
    bootable: args.flag("bootable") && expected === undefined,
    delta: args.text("delta") as DeltaUse,
    ...(jobs !== undefined && { jobs }),
  };
  const isJson = args.flag("json");
  const referrersOf = async (subjects: readonly OciDigest[]): Promise<readonly PullReport[] | undefined> => {
    if (!args.flag("referrers")) return undefined;
    const { tag: _, bootable: __, ...untagged } = options;
    return await pullReferrers(repository, source, subjects, untagged);
  };
  if (args.flag("all-platforms")) {
    const report = await pullAllPlatforms(repository, source, options);
    const { index, images } = report;
    const referrers = await referrersOf([
      ...(index === undefined ? [] : [index]),
      ...images.map(({ manifest }) => manifest),
    ]);
    if (isJson) context.out.json({ ...indexJson(report), ...referrersJson(referrers) });
    else {
      printIndex(context, report);
      printReferrers(context, referrers);
    }
    return;
  }
  const report = await pullImage(repository, source, options);
  warnOfPlatform(context, repository, report, args.text("platform"));
  const referrers = await referrersOf([report.manifest]);
  const found = expected && findBootImage(repository, report.manifest, expected);
  if (isJson)
    context.out.json({
      ...jsonReport(report),
      ...(found && { boot_image: found.id }),
      ...referrersJson(referrers),
    });
  else {
    printReport(context, report);
    printReferrers(context, referrers);
  }
  if (expected === undefined) return;
  if (found === undefined)
    throw new CfsError(
      "NotFound",
      `No boot image configuration matched expected digest ${expected} (tried ${BOOT_COMBINATIONS} mode/version combinations)`,
      { hint: "this image is not the one that the digest was made for" },
    );
  const { id, xattrMode, version } = found;
  if (!isJson) context.out.line(`Boot image: ${id} (xattr-mode=${xattrMode}, format-version=V${version})`);
}

/** Who names an image by its digest gets it, whatever it is for. */
function warnOfPlatform(
  { err }: Context,
  repository: Repository,
  { manifest }: PullReport,
  platform: string | undefined,
): void {
  const wanted = platform === undefined ? hostPlatform() : parsePlatform(platform);
  const found = imageConfigOf(openManifest(repository, manifest))?.platform;
  if (found === undefined || rankPlatform(found, wanted) !== undefined) return;
  err.line(`cfsctl: warning: the image is for ${formatPlatform(found)}, not for ${formatPlatform(wanted)}`);
}

/** @throws CfsError Invalid */
function expectedDigest(args: Arguments, { algorithm }: Repository): ObjectId | undefined {
  const text = args.text("expected-digest");
  if (text === undefined) return undefined;
  try {
    return parseObjectId(text, algorithm);
  } catch (error) {
    throw withContext("Parsing --expected-digest", error);
  }
}

function printIndex(context: Context, { index, images, tagged }: IndexReport): void {
  const { out } = context;
  if (index !== undefined) {
    out.line(`index    ${index}`);
    for (const { platform, manifest } of images)
      out.line(`image    ${manifest} ${platform === undefined ? "-" : formatPlatform(platform)}`);
  }
  printReport(context, tagged);
}

function indexJson({ index, images, tagged }: IndexReport): object {
  return {
    ...jsonReport(tagged),
    index: index ?? null,
    images: images.map(({ platform, manifest, config, verity, unchanged }) => ({
      platform: platform === undefined ? null : formatPlatform(platform),
      manifest,
      config,
      verity,
      unchanged,
    })),
  };
}

function printReferrers({ out }: Context, referrers: readonly PullReport[] = []): void {
  for (const { manifest } of referrers) out.line(`referrer ${manifest}`);
}

function referrersJson(referrers: readonly PullReport[] | undefined): object {
  return referrers === undefined ? {} : { referrers: referrers.map(({ manifest }) => manifest) };
}

function printReport({ out }: Context, report: PullReport): void {
  const { manifest, config, verity, tag, bootImage, statistics } = report;
  const { newObjects, presentObjects, storedBytes, inlinedBytes } = statistics;
  out.line(`manifest ${manifest}`);
  out.line(`config   ${config}`);
  out.line(`verity   ${verity}`);
  if (tag !== undefined) out.line(`tagged   ${tag}`);
  out.line(
    `objects  ${newObjects} new + ${presentObjects} already present objects; ` +
      `${formatSize(storedBytes)} stored, ${formatSize(inlinedBytes)} inlined`,
  );
  if (bootImage !== undefined) out.line(`Boot image: ${bootImage}`);
}

function jsonReport(report: PullReport): object {
  const { manifest, config, verity, tag, delta, bootImage, statistics, unchanged } = report;
  return {
    manifest,
    config,
    verity,
    tag: tag ?? null,
    delta: delta ?? null,
    boot_image: bootImage ?? null,
    unchanged,
    objects: {
      new: statistics.newObjects,
      already_present: statistics.presentObjects,
      stored_bytes: statistics.storedBytes,
      inlined_bytes: statistics.inlinedBytes,
    },
  };
}
