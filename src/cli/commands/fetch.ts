import { type FetchedRoot, type FetchReport, fetchFromCopy } from "../../published/fetch/fetch.ts";
import { PublishedCopy, parseCopyUrl } from "../../published/published-copy.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { connectionOptions } from "../published-options.ts";
import { retriesShownIn } from "../registry-options.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl fetch URL NAME...` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  using copy = new PublishedCopy(parseCopyUrl(args.required("URL")), {
    connection: connectionOptions(args),
    onRetry: retriesShownIn(context.progress),
  });
  const { progress } = context;
  const report = await fetchFromCopy(copy, repository, args.rest("NAME"), {
    progress,
    ref: args.text("ref"),
  });
  if (args.flag("json")) context.out.json(jsonReport(report));
  else printReport(context, report);
}

function printReport({ out }: Context, { roots }: FetchReport): void {
  for (const root of roots) {
    if (roots.length > 1) out.line(`name ${nameOf(root)}`);
    if (root.sha256 !== undefined) out.line(`content sha256:${root.sha256}`);
    out.line(`verity ${root.id}`);
  }
}

function nameOf({ category, ref, entry, id }: FetchedRoot): string {
  const name = ref === undefined ? (entry ?? id) : `refs/${ref}`;
  return category === "images" ? `images/${name}` : name;
}

function jsonReport({ roots, fetchedObjects, fetchedBytes, presentObjects }: FetchReport): object {
  return {
    fetched: roots.map(({ category, id, entry, ref, sha256 }) => ({
      kind: category === "images" ? "image" : "stream",
      ref: ref ?? null,
      name: entry ?? null,
      content: sha256 === undefined ? null : `sha256:${sha256}`,
      verity: id,
    })),
    objects: { fetched: fetchedObjects, fetched_bytes: fetchedBytes, already_present: presentObjects },
  };
}
