import { dumpTree } from "../../tree/dump.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { directoryArgument } from "../directory.ts";

/** `cfsctl create-dumpfile PATH` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const { root } = await directoryArgument(context, args);
  for (const text of dumpTree(root)) context.out.text(text);
}
