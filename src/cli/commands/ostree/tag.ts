import { resolveCommit } from "../../../ostree/resolve.ts";
import { writeCommitRef } from "../../../ostree/stored-commit.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree tag SOURCE NAME` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const source = args.required("SOURCE");
  const name = args.required("NAME");
  writeCommitRef(repository, name, resolveCommit(repository, source));
  context.out.line(`Tagged ${source} as ${name}`);
}
