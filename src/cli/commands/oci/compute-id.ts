import { imageDigest } from "../../../erofs/writer.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { treeArgument } from "./tree.ts";

/** `cfsctl oci compute-id IMAGE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const { algorithm, erofsVersion } = repository;
  context.out.line(imageDigest(treeArgument(repository, args), erofsVersion, algorithm));
}
