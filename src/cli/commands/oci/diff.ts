import type { Arguments } from "../../arguments.ts";
import { compare } from "../../compare.ts";
import type { Context } from "../../context.ts";

/** `cfsctl oci diff EXPECTED FOUND` */
export async function run(context: Context, args: Arguments): Promise<void> {
  await compare(context, args, { prefer: "container", withImages: false });
}
