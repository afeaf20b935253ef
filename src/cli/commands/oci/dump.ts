import { dumpTree } from "../../../tree/dump.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { treeArgument } from "./tree.ts";

/** `cfsctl oci dump IMAGE` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  for (const text of dumpTree(treeArgument(repository, args))) context.out.text(text);
}
