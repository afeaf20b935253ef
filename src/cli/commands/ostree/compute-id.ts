import { ensureImage } from "../../../ostree/recorded-image.ts";
import { openResolvedCommit } from "../../../ostree/resolve.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree compute-id SOURCE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const stored = openResolvedCommit(repository, args.required("SOURCE"));
  context.out.line(ensureImage(repository, stored));
}
