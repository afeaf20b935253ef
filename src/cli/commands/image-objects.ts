import { imageObjects } from "../../repository/images.ts";
import { formatObjectId } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl image-objects NAME` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const objects = imageObjects(repository, args.required("NAME")).map((id) =>
    formatObjectId(id, repository.algorithm),
  );
  if (args.flag("json")) context.out.json({ objects });
  else for (const object of objects) context.out.line(object);
}
