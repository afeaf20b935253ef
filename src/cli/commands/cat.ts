import { catStream } from "../../repository/streams.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl cat NAME` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  catStream(repository, args.required("NAME"), (piece) => context.out.bytes(piece));
}
