import { linkedImages } from "../../../oci/linked-images.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { objectIdArgument } from "./arguments.ts";

/** `cfsctl oci linked-erofs-images IMAGE_ID` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const id = objectIdArgument(args.required("IMAGE_ID"), "IMAGE_ID", repository.algorithm);
  context.out.json(
    linkedImages(repository, id).map(({ id, bootable, version, xattrMode }) => ({
      id,
      bootable,
      version,
      xattrMode: xattrMode ?? null,
    })),
  );
}
