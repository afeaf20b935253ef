import type { Arguments } from "../arguments.ts";
import { script } from "../completion/scripts.ts";
import type { Context } from "../context.ts";

/** `cfsctl completion SHELL` */
export function run({ out }: Context, args: Arguments): void {
  out.text(script(args.required("SHELL"))!);
}
