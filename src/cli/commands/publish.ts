import { bucketAddress, isBucketUrl } from "../../published/publish/bucket-address.ts";
import { BucketTarget } from "../../published/publish/bucket-target.ts";
import { FolderTarget } from "../../published/publish/folder.ts";
import { type PublishReport, publish } from "../../published/publish/publish.ts";
import { Bucket } from "../../published/publish/s3.ts";
import type { PublishTarget } from "../../published/publish/target.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { formatSize } from "../format-bytes.ts";
import { bucketSettings } from "../published-options.ts";
import { retriesShownIn } from "../registry-options.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl publish DEST [NAME]...` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  await using target = openTarget(context, args);
  const { progress } = context;
  const report = await publish(repository, target, {
    names: args.rest("NAME"),
    prune: args.flag("prune"),
    progress,
  });
  if (args.flag("json")) context.out.json(jsonReport(report));
  else printReport(context, report);
}

function openTarget({ err, progress }: Context, args: Arguments): PublishTarget {
  const destination = args.required("DEST");
  if (!isBucketUrl(destination))
    return new FolderTarget(destination, args.flag("zerocopy"), (message) => err.line(`cfsctl: ${message}`));
  const address = bucketAddress(destination, bucketSettings(args));
  return new BucketTarget(new Bucket(address, { onRetry: retriesShownIn(progress) }));
}

function printReport({ out }: Context, { refs, copied, present, pruned }: PublishReport): void {
  for (const ref of refs) out.line(`published ${ref}`);
  out.line(`objects   ${copied.objects} new (${formatSize(copied.bytes)}) + ${present} already there`);
  if (pruned !== undefined) out.line(`pruned    ${pruned.objects} objects (${formatSize(pruned.bytes)})`);
}

function jsonReport({ refs, copied, present, pruned }: PublishReport): object {
  return {
    refs,
    objects: { new: copied.objects, new_bytes: copied.bytes, already_present: present },
    pruned: pruned === undefined ? null : { objects: pruned.objects, bytes: pruned.bytes },
  };
}
