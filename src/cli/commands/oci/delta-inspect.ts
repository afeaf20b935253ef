import { loadRegistryConfiguration } from "../../../oci/containers/configuration.ts";
import { parseImageNames } from "../../../oci/containers/short-names.ts";
import { type InspectedDelta, type InspectedLayer, inspectDelta } from "../../../oci/delta/inspect.ts";
import { openFirst } from "../../../oci/open-first.ts";
import { openSource } from "../../../oci/open-source.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../../sys/file.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { formatBytes } from "../../format-bytes.ts";
import { registryOptions, retriesShownIn } from "../../registry-options.ts";

/** `cfsctl oci delta inspect DELTA` */
export async function run({ out, progress }: Context, args: Arguments): Promise<void> {
  const registries = loadRegistryConfiguration(registryOptions(args));
  const policyFile = args.text("signature-policy");
  using temporary = open(process.env.TMPDIR || "/var/tmp", O_RDONLY | O_DIRECTORY);
  const { source: opened } = await openFirst(
    parseImageNames(args.required("DELTA"), () => registries.conf),
    (reference) =>
      openSource(reference, temporary.fd, {
        ...(policyFile !== undefined && { policyFile }),
        // A delta is made for an image, whatever machine that is for.
        anyPlatform: true,
        registries,
        onRetry: retriesShownIn(progress),
      }),
  );
  using source = opened;
  const inspected = await inspectDelta(source);
  if (args.flag("json")) {
    out.json(jsonReport(inspected));
    return;
  }
  const { delta, target, source: from, layers } = inspected;
  out.line(`manifest ${delta.manifest.digest}`);
  if (from !== undefined) out.line(`source   ${from}`);
  out.line(`needs    config ${delta.sourceConfig}`);
  out.line(`target   ${target.digest}`);
  const parts = [
    ...new Map(layers.flatMap(({ part }) => (part ? [[part.digest, part] as const] : []))).values(),
  ];
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  out.line(
    `size     ${formatBytes(size)} instead of ${formatBytes(layers.reduce((sum, layer) => sum + layer.size, 0))}`,
  );
  out.table(["LAYER", "KIND", "SIZE", "OF", "COPIED", "PATCHED", "NEW"], layers.map(row));
}

function row({ digest, size, part, summary }: InspectedLayer): string[] {
  const kind =
    part === undefined ? "of the source" : summary === undefined ? "as published" : `v${summary.version}`;
  const sizes = [part === undefined ? "-" : formatBytes(part.size), formatBytes(size)];
  if (summary === undefined) return [digest, kind, ...sizes, "-", "-", "-"];
  const { copied, patched, added } = summary;
  const whole = copied + patched + added;
  const share = (bytes: number) =>
    `${formatBytes(bytes)} (${whole === 0 ? 0 : Math.round((100 * bytes) / whole)} %)`;
  return [digest, kind, ...sizes, share(copied), share(patched), share(added)];
}

function jsonReport({ delta, target, source, layers }: InspectedDelta): object {
  return {
    manifest: delta.manifest.digest,
    artifact_type: delta.manifest.artifactType,
    source: { manifest: source ?? null, config: delta.sourceConfig },
    target: { manifest: target.digest, config: target.config.digest },
    signatures: delta.signatures.map(({ digest }) => digest),
    layers: layers.map(({ digest, diffId, size, part, summary }) => ({
      digest,
      diff_id: diffId ?? null,
      size,
      delta:
        part === undefined
          ? null
          : {
              media_type: part.mediaType,
              digest: part.digest,
              size: part.size,
              ...(summary !== undefined && {
                version: summary.version,
                operation_bytes: summary.operationBytes,
                operations: {
                  data: summary.operations.Data,
                  open: summary.operations.Open,
                  copy: summary.operations.Copy,
                  add_data: summary.operations.AddData,
                  seek: summary.operations.Seek,
                  zstd_dict: summary.operations.ZstdDict,
                },
                copied_bytes: summary.copied,
                patched_bytes: summary.patched,
                new_bytes: summary.added,
              }),
            },
    })),
  };
}
