import { importLayer } from "../../../oci/import-layer.ts";
import { formatObjectId } from "../../../verity/digest.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { digestArgument } from "./arguments.ts";

const STDIN = 0;

/** `cfsctl oci import-layer DIGEST [NAME] < TAR` */
export function run(context: Context, args: Arguments): void {
  const digest = digestArgument(args, "DIGEST");
  using repository = openRepository(context);
  const id = importLayer(repository, digest, STDIN, args.optional("NAME"));
  context.out.line(formatObjectId(id, repository.algorithm));
}
