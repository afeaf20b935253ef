import { CfsError } from "../../../errors.ts";
import { commitRefName } from "../../../ostree/names.ts";
import { removeRef } from "../../../repository/refs.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl ostree untag NAME` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const name = args.required("NAME");
  repository.ensureWritable();
  if (removeRef(repository, "streams", commitRefName(name))) return;
  throw new CfsError("NotFound", `there is no ostree ref '${name}'`, {
    hint: "`cfsctl ostree images` lists the names",
  });
}
