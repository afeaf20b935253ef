import { removeTag } from "../../../oci/tags.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";

/** `cfsctl oci untag NAME` */
export function run(context: Context, args: Arguments): void {
  const name = args.required("NAME");
  using repository = openRepository(context);
  removeTag(repository, name);
  context.out.line(`Removed tag ${name}`);
}
