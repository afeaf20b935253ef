import { type CopyReport, copyImage } from "../../../oci/copy/copy.ts";
import type { CopyStatistics } from "../../../oci/copy/layer-job.ts";
import { Repository } from "../../../repository/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci copy IMAGE --from REPO` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const name = args.required("IMAGE");
  const from = args.text("from")!;
  const tag = args.text("name");
  const { jobs } = context.globals;
  using target = openRepository(context);
  using source = openSourceRepository(from, context);
  const report = await copyImage(target, source, name, {
    ...(tag !== undefined && { tag }),
    ...(jobs !== undefined && { jobs }),
    zerocopy: args.flag("zerocopy"),
    progress: context.progress,
  });
  const { out } = context;
  if (args.flag("json")) {
    out.json(jsonReport(report));
    return;
  }
  const tagged = tag === undefined ? "" : `, tagged as ${tag}`;
  out.line(`Copied image ${name} from ${from} to destination repo${tagged}`);
  out.line(`Manifest digest: ${report.manifest}`);
  out.line(`Manifest verity: ${report.manifestVerity}`);
  out.line(`Config digest:   ${report.config}`);
  out.line(`Config verity:   ${report.configVerity}`);
}

/** The source is only read, and what --hash and the like say is said of the target. */
function openSourceRepository(path: string, { err, globals }: Context): Repository {
  return Repository.open(path, {
    insecure: globals.insecure,
    onWait: (message) => err.line(`cfsctl: ${message}`),
  });
}

function jsonReport(report: CopyReport): object {
  const { manifest, config, manifestVerity, configVerity, tag, statistics, unchanged } = report;
  return {
    manifest,
    config,
    manifest_verity: manifestVerity,
    config_verity: configVerity,
    tag: tag ?? null,
    unchanged,
    objects: jsonStatistics(statistics),
  };
}

function jsonStatistics({ objects, bytes, inlinedBytes }: CopyStatistics): object {
  return {
    copied: objects.copied,
    reflinked: objects.reflinked,
    hardlinked: objects.hardlinked,
    already_present: objects.present,
    copied_bytes: bytes.copied,
    reflinked_bytes: bytes.reflinked,
    hardlinked_bytes: bytes.hardlinked,
    inlined_bytes: inlinedBytes,
  };
}
