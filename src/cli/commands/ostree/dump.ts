import { buildRecordedTree } from "../../../ostree/recorded-image.ts";
import { openResolvedCommit } from "../../../ostree/resolve.ts";
import { dumpTree } from "../../../tree/dump.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree dump SOURCE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const stored = openResolvedCommit(repository, args.required("SOURCE"));
  for (const text of dumpTree(buildRecordedTree(repository, stored))) context.out.text(text);
}
