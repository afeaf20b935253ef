import { loadRegistryConfiguration } from "../../oci/containers/configuration.ts";
import { openSources } from "../../repair/open-sources.ts";
import { type RepairReport, repairRepository } from "../../repair/repair.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { printable } from "../printable.ts";
import { connectionOptions } from "../published-options.ts";
import { registryOptions, retriesShownIn } from "../registry-options.ts";
import {
  integrityError,
  jsonFindings,
  jsonReport,
  printAffected,
  printCauses,
  printDeepReport,
  printReport,
} from "./fsck.ts";

/** `cfsctl fsck --repair` */
export async function repair(
  context: Context,
  repository: Repository,
  args: Arguments,
  jobs: number,
): Promise<void> {
  const { progress, globals, err } = context;
  const openOptions = {
    insecure: globals.insecure,
    onWait: (message: string) => err.line(`cfsctl: ${message}`),
  };
  const onRetry = retriesShownIn(progress);
  using sources = openSources(repository, args.list("from"), {
    repositories: openOptions,
    images: () => ({ registries: loadRegistryConfiguration(registryOptions(args)), onRetry }),
    copies: () => ({ connection: connectionOptions(args), onRetry }),
  });
  const { copies, images, ostree } = sources;
  const mayTakeAway = args.flag("yes");
  const report = await repairRepository(repository, { copies, images, ostree, mayTakeAway, jobs, progress });
  if (args.flag("json")) printJson(context, repository, report);
  else printText(context, report);
  const isHealthy = report.after.findings.length === 0;
  if (!isHealthy && (!args.flag("json") || args.flag("strict-exit"))) throw integrityError(repository);
}

function printJson({ out }: Context, { algorithm }: Repository, report: RepairReport): void {
  const { before, after, actions, notTakenAway, problems } = report;
  out.json({
    ...jsonReport(after.repository),
    ok: after.findings.length === 0,
    found: before.findings.length,
    actions: actions.map(({ what, path, where }) => ({ action: what, path, where: where ?? null })),
    needs_consent: notTakenAway,
    problems,
    ...jsonFindings(after.findings, algorithm),
  });
}

function printText(context: Context, { after, actions, notTakenAway, problems }: RepairReport): void {
  const { out, err } = context;
  for (const { what, path, where } of actions) {
    const detail = where === undefined ? "" : ` ${WHERE[what]} ${where}`;
    out.line(printable(`${what} ${path}${detail}`));
  }
  printReport(context, after.repository);
  printDeepReport(context, after);
  printCauses(context, after.repository);
  for (const problem of problems) err.warning(problem);
  for (const path of notTakenAway) err.line(`cfsctl: taken away only with --yes: ${printable(path)}`);
  printAffected(context, after.findings);
}

const WHERE = {
  restored: "from",
  linked: "from",
  made: "from",
  pulled: "from",
  dropped: "->",
  moved: "to",
} as const;
