import { imageDigest } from "../../erofs/writer.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { directoryArgument } from "../directory.ts";

/** `cfsctl compute-id PATH` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const { root, algorithm } = await directoryArgument(context, args);
  // Whatever the repository's default is: scripts compare this with what others computed without one.
  const version = context.globals.erofsVersion ?? 1;
  context.out.line(imageDigest(root, version, algorithm));
}
