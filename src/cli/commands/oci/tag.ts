import { writeTag } from "../../../oci/tags.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { digestArgument } from "./arguments.ts";

/** `cfsctl oci tag MANIFEST_DIGEST NAME` */
export function run(context: Context, args: Arguments): void {
  const digest = digestArgument(args, "MANIFEST_DIGEST");
  const name = args.required("NAME");
  using repository = openRepository(context);
  writeTag(repository, digest, name);
  context.out.line(`Tagged ${digest} as ${name}`);
}
