import { CfsError } from "../../../errors.ts";
import { type LocalRef, LocalRepository } from "../../../ostree/local/repository.ts";
import { localPath } from "../../../ostree/remote/open-remote.ts";
import { RemoteRepository } from "../../../ostree/remote/remote-repository.ts";
import type { RemoteSettings } from "../../../ostree/remote/remote-settings.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { remoteOf } from "./remote-arguments.ts";

/** `cfsctl ostree list-refs REMOTE` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const { out } = context;
  const remote = remoteOf(args);
  const path = localPath(remote.url);
  const refs = path === undefined ? await listed(context, args, remote) : await found(path);
  if (args.flag("json")) out.json({ refs });
  else if (refs.length === 0) out.line("No refs found");
  else {
    out.table(
      ["REF", "COMMIT"],
      refs.map(({ name, commit }) => [name, commit]),
    );
  }
}

async function found(path: string): Promise<readonly LocalRef[]> {
  await using source = LocalRepository.open(path);
  return source.refs();
}

/** By the summary. */
async function listed(
  context: Context,
  args: Arguments,
  remote: RemoteSettings,
): Promise<readonly LocalRef[]> {
  using repository = openRepository(context);
  await using source = await RemoteRepository.open(remote, {
    cache: repository,
    progress: context.progress,
    subset: args.text("subset"),
  });
  const summary = await source.summary();
  if (summary !== undefined) return summary.refs.map(({ name, commit }) => ({ name, commit }));
  throw new CfsError("NotFound", `${source.label}: no summary available from remote`, {
    hint: "whoever publishes the repository can make one with `ostree summary --update`; refs can be pulled without it",
  });
}
