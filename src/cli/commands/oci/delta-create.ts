import { CfsError, kindOf } from "../../../errors.ts";
import { loadRegistryConfiguration } from "../../../oci/containers/configuration.ts";
import { parseImageNames } from "../../../oci/containers/short-names.ts";
import { type CreatedDelta, createDelta } from "../../../oci/delta/create/create-delta.ts";
import {
  type DeltaImage,
  sourceDeltaImage,
  storedDeltaImage,
} from "../../../oci/delta/create/delta-image.ts";
import { TemporaryRepository } from "../../../oci/delta/create/temporary-repository.ts";
import { TAR_DIFF } from "../../../oci/delta/format.ts";
import { openFirst } from "../../../oci/open-first.ts";
import { openSource, type SourceOptions } from "../../../oci/open-source.ts";
import { parsePlatform } from "../../../oci/platform.ts";
import { openTarget } from "../../../oci/push/open-target.ts";
import { parseReference, transportOf } from "../../../oci/reference.ts";
import type { RegistryConfiguration } from "../../../oci/registry/types.ts";
import type { Repository } from "../../../repository/repository.ts";
import { SHA256 } from "../../../verity/digest.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { formatSize } from "../../format-bytes.ts";
import { registryOptions, retriesShownIn } from "../../registry-options.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci delta create SOURCE TARGET DEST` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const names = [args.required("SOURCE"), args.required("TARGET")] as const;
  const { text: destination, isTagged } = withTag(args.required("DEST"), args.text("tag"));
  const registries = loadRegistryConfiguration(registryOptions(args));
  using opened = new DisposableStack();
  const repository = findRepository(context, names);
  if (repository !== undefined) opened.use(repository);
  let own: TemporaryRepository | undefined;
  const temporary = () => {
    own ??= opened.use(
      new TemporaryRepository(process.env.TMPDIR || "/var/tmp", repository?.algorithm ?? SHA256),
    );
    return own.repository;
  };
  const images: DeltaImage[] = [];
  for (const name of names)
    images.push(await openImage(context, args, name, repository, temporary, registries, opened));
  await using target = openTarget(repository ?? temporary(), destination, {
    progress: context.progress,
    registries,
    onRetry: retriesShownIn(context.progress),
  });
  const created = await createDelta(images[0]!, images[1]!, target, repository, temporary, {
    version: args.text("format") === "v2" ? 2 : 1,
    level: args.int("compression-level"),
    isTagged,
    jobs: context.globals.jobs,
    progress: context.progress,
  });
  if (args.flag("json")) context.out.json({ destination, ...jsonReport(created) });
  else printReport(context, created, destination);
}

/** The destination with the tag of `--tag`; a registry's need none. @throws CfsError Usage when both give one */
function withTag(text: string, tag: string | undefined): { text: string; isTagged: boolean } {
  const reference = parseReference(text);
  const has =
    reference.transport === "docker"
      ? /[:@]/.test(text.slice(text.lastIndexOf("/") + 1))
      : "tag" in reference && reference.tag !== undefined;
  if (tag === undefined) return { text, isTagged: has || reference.transport !== "docker" };
  if (has) throw new CfsError("Usage", `DEST ${text} has a tag already: --tag ${tag} can't be given, too`);
  return { text: `${text}:${tag}`, isTagged: true };
}

/** The repository, if there is one: images that are elsewhere need none. */
function findRepository(context: Context, names: readonly string[]): Repository | undefined {
  const isNeeded = names.some((name) => transportOf(name) === undefined);
  if (context.globals.noRepo && !isNeeded) return undefined;
  try {
    return openRepository(context);
  } catch (error) {
    const isGiven = context.globals.repo !== undefined;
    if (isNeeded || isGiven || !(error instanceof CfsError)) throw error;
    return undefined;
  }
}

/** What a name means in the repository; else what it would to `oci pull`. */
async function openImage(
  { progress }: Context,
  args: Arguments,
  name: string,
  repository: Repository | undefined,
  temporary: () => Repository,
  registries: RegistryConfiguration & ReturnType<typeof loadRegistryConfiguration>,
  opened: DisposableStack,
): Promise<DeltaImage> {
  if (repository !== undefined && transportOf(name) === undefined) {
    try {
      return storedDeltaImage(repository, name);
    } catch (error) {
      if (kindOf(error) !== "NotFound" || !isName(name, registries)) throw error;
    }
  }
  const platform = args.text("platform");
  const policyFile = args.text("signature-policy");
  const options: SourceOptions = {
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    ...(policyFile !== undefined && { policyFile }),
    registries,
    onRetry: retriesShownIn(progress),
  };
  const references = parseImageNames(name, () => registries.conf);
  const { source } = await openFirst(references, (candidate) =>
    openSource(candidate, (repository ?? temporary()).dir.fd, options),
  );
  opened.use(source);
  return await sourceDeltaImage(source);
}

function isName(name: string, registries: ReturnType<typeof loadRegistryConfiguration>): boolean {
  try {
    return parseImageNames(name, () => registries.conf).length > 0;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

function printReport(
  { out }: Context,
  { manifest, source, target, layers }: CreatedDelta,
  destination: string,
): void {
  out.line(`manifest ${manifest}`);
  out.line(`source   ${source.manifest}`);
  out.line(`target   ${target.manifest}`);
  out.line(`pushed   ${destination}`);
  const chosen = [
    ...new Map(layers.flatMap(({ digest, delta }) => (delta ? [[digest, delta] as const] : []))).values(),
  ];
  const diffs = chosen.filter(({ mediaType }) => mediaType === TAR_DIFF).length;
  const size = chosen.reduce((sum, layer) => sum + layer.size, 0);
  const whole = layers.reduce((sum, layer) => sum + layer.size, 0);
  out.line(
    `layers   ${diffs} differences + ${chosen.length - diffs} as published + ` +
      `${layers.filter(({ delta }) => delta === undefined).length} of the source image`,
  );
  out.line(`size     ${formatSize(size)} instead of ${formatSize(whole)}`);
}

function jsonReport({ manifest, source, target, layers }: CreatedDelta): object {
  return {
    manifest,
    source,
    target,
    layers: layers.map(({ digest, diffId, size, delta }) => ({
      digest,
      diff_id: diffId,
      size,
      delta:
        delta === undefined ? null : { media_type: delta.mediaType, digest: delta.digest, size: delta.size },
    })),
  };
}
