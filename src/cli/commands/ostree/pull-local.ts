import { LocalRepository } from "../../../ostree/local/repository.ts";
import { verifiedSource } from "../../../ostree/remote/open-remote.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { pullAndReport } from "./pull-commits.ts";
import { trustOf } from "./remote-arguments.ts";

/** `cfsctl ostree pull-local OSTREE_REPO REF...` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  await using source = verifiedSource(LocalRepository.open(args.required("OSTREE_REPO")), trustOf(args));
  await pullAndReport(context, repository, source, args);
}
