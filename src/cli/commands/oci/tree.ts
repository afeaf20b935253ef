import { imageTree } from "../../../oci/image-tree.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Directory } from "../../../tree/model.ts";
import { parseXattrFilter } from "../../../tree/transform.ts";
import type { Arguments } from "../../arguments.ts";
import { objectIdArgument } from "./arguments.ts";

/** The tree that the arguments IMAGE, CONFIG_VERITY, --xattrs and --bootable name. */
export function treeArgument(repository: Repository, args: Arguments): Directory {
  const verity = args.optional("CONFIG_VERITY");
  return imageTree(repository, args.required("IMAGE"), {
    xattrs: parseXattrFilter(args.text("xattrs")!),
    bootable: args.flag("bootable"),
    ...(verity !== undefined && {
      configStream: objectIdArgument(verity, "CONFIG_VERITY", repository.algorithm),
    }),
  });
}
