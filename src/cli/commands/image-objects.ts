import { imageObjects } from "../../repository/images.ts";
import { formatObjectId } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl image-objects NAME` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  for (const id of imageObjects(repository, args.required("NAME"))) {
    context.out.line(formatObjectId(id, repository.algorithm));
  }
}
