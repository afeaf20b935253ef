import { CfsError } from "../../../errors.ts";
import { summarizeLayer, writeLayer, writeLayerDump } from "../../../oci/layer.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { openRepository } from "../../repository.ts";
import { digestArgument } from "./arguments.ts";

/** `cfsctl oci layer LAYER` */
export function run(context: Context, args: Arguments): void {
  const diffId = digestArgument(args, "LAYER");
  const { out } = context;
  if (!args.flag("json") && !args.flag("dumpfile") && out.isTerminal) {
    throw new CfsError(
      "Invalid",
      "Refusing to write tar data to terminal. Redirect to a file, pipe to tar, or use --json for metadata",
    );
  }
  using repository = openRepository(context);
  if (args.flag("json")) {
    const { externalObjects, externalSize, inlineSize, ...summary } = summarizeLayer(repository, diffId);
    out.json({ ...summary, splitstream: { externalObjects, externalSize, inlineSize } });
  } else if (args.flag("dumpfile")) {
    writeLayerDump(repository, diffId, (line) => out.text(line));
  } else {
    writeLayer(repository, diffId, (piece) => out.bytes(piece));
  }
}
