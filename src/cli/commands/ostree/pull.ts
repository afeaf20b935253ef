import { pullCommit } from "../../../ostree/pull/pull.ts";
import { openRemote } from "../../../ostree/remote/open-remote.ts";
import { pullFromRemote } from "../../../ostree/remote/pull-remote.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { pullAndReport } from "./pull-commits.ts";
import { remoteOf } from "./remote-arguments.ts";

/** `cfsctl ostree pull REMOTE REF...` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const settings = remoteOf(args);
  using repository = openRepository(context);
  const { progress } = context;
  const { source, remote } = await openRemote(settings, { cache: repository, progress });
  await using _ = source;
  const isByDelta = remote !== undefined && !args.flag("no-delta");
  await pullAndReport(
    context,
    repository,
    source,
    args,
    isByDelta ? (to, from, commit, options) => pullFromRemote(to, from, remote, commit, options) : pullCommit,
  );
}
