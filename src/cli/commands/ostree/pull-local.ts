import { LocalRepository } from "../../../ostree/local/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { pullAndReport } from "./pull-commits.ts";

/** `cfsctl ostree pull-local OSTREE_REPO REF...` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  await using source = LocalRepository.open(args.required("OSTREE_REPO"));
  await pullAndReport(context, repository, source, args);
}
