import { type Checksum, isChecksum, parseChecksum } from "../../../ostree/checksum.ts";
import { pullHistory } from "../../../ostree/pull/history.ts";
import { type PullOptions, type PullReport, pullCommit } from "../../../ostree/pull/pull.ts";
import { VerifiedSource } from "../../../ostree/signature/verified-source.ts";
import type { OstreeSource } from "../../../ostree/source.ts";
import { Subpaths } from "../../../ostree/subpaths.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";

/** As `pullCommit`; of a static delta that was used, it tells how many parts it has. */
export type PullFunction = (
  repository: Repository,
  source: OstreeSource,
  commit: Checksum,
  options: PullOptions,
) => Promise<PullReport & { readonly deltaParts?: number }>;

/** Pulls the commits that the arguments REF name from a source, and prints what became of each. */
export async function pullAndReport(
  context: Context,
  repository: Repository,
  source: OstreeSource,
  args: Arguments,
  pull: PullFunction = pullCommit,
): Promise<void> {
  const { out, progress, globals } = context;
  const json: object[] = [];
  for (const name of args.rest("REF")) {
    const ref = isChecksum(name) ? undefined : name;
    const commit = ref === undefined ? parseChecksum(name, "the commit") : await source.resolveRef(ref);
    // A commit that is in the repository already is not asked for, but may have come without a signature.
    if (source instanceof VerifiedSource) await source.readMetadata("commit", commit);
    const options = {
      baseName: args.text("base-name"),
      cleanXattrNames: args.flag("clean-xattr-names"),
      subpaths: Subpaths.parse(args.list("subpath")),
      jobs: globals.jobs,
      progress,
    };
    const report = await pull(repository, source, commit, { ...options, ref });
    const parents = await pullHistory(repository, source, report.commit, args.int("depth") ?? 0, options);
    if (args.flag("json")) json.push(reportJson(report, parents));
    else printReport(context, report);
    if (report.hasXattrs && !report.unchanged && !args.flag("clean-xattr-names")) warnOfXattrs(context, name);
  }
  if (args.flag("json")) out.json({ commits: json });
}

export function warnOfXattrs({ err }: Context, name: string): void {
  err.warning(
    `${name}: extended attributes have the names that composefs-rs gives them, which the kernel does not know; ` +
      "with --clean-xattr-names they work",
  );
}

export function printReport({ out }: Context, report: PullReport & { readonly deltaParts?: number }): void {
  out.line(`commit  ${report.commit}`);
  out.line(`verity  ${report.verity}`);
  out.line(`image   ${report.image}`);
  if (report.ref !== undefined) out.line(`tagged  ${report.ref}`);
  const how = report.deltaParts === undefined ? "fetched" : `via ${report.deltaParts} delta parts`;
  out.line(`objects ${report.metadata} metadata + ${report.files} files ${how}`);
}

export function reportJson(report: PullReport, parents: readonly PullReport[]): object {
  return {
    ref: report.ref ?? null,
    commit: report.commit,
    stream: report.stream,
    image: report.image,
    subpaths: report.subpaths?.paths ?? null,
    unchanged: report.unchanged,
    has_xattrs: report.hasXattrs,
    objects: { metadata: report.metadata, files: report.files },
    parents: parents.map(({ commit, stream, image }) => ({ commit, stream, image })),
  };
}
