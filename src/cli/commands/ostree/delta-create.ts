import { createDelta } from "../../../ostree/delta/create/create-delta.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";

const MEGABYTE = 1_000_000;
/** As `ostree static-delta generate`. */
const FALLBACK_MEGABYTES = 4;

/** `cfsctl ostree delta create OSTREE_REPO FROM TO` */
export async function run({ out, err, progress, globals }: Context, args: Arguments): Promise<void> {
  const path = args.required("OSTREE_REPO");
  const from = args.required("FROM");
  const megabytes = args.int("min-fallback-size") ?? FALLBACK_MEGABYTES;
  const created = await createDelta(path, {
    from: from === "-" ? undefined : from,
    to: args.required("TO"),
    inline: args.flag("inline"),
    fallbackSize: megabytes === 0 ? Number.POSITIVE_INFINITY : megabytes * MEGABYTE,
    jobs: globals.jobs,
    progress,
  });
  if (args.flag("json")) out.json({ ...created, from: created.from ?? null });
  else {
    if (created.from !== undefined) out.line(`from    ${created.from}`);
    out.line(`to      ${created.to}`);
    out.line(`delta   ${created.path}`);
    out.line(`size    ${created.size} bytes in ${created.parts} parts`);
    out.line(`objects ${created.objects} in parts + ${created.fallbacks} to be fetched on their own`);
  }
  err.line("cfsctl: clients see the delta when `ostree summary -u` has been run on the repository");
}
