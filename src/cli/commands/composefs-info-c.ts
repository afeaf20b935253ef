import { listImage } from "../../erofs/list-image.ts";
import { dumpLineOf, listLineOf } from "../../erofs/list-text.ts";
import { SHA256 } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import { composefsInfo, type InfoDialect } from "../composefs-info.ts";
import type { Context } from "../context.ts";

/** As the program of composefs 1.0 prints it: what stands in the image. */
const IMAGE: InfoDialect = {
  ls: (image, names) => list(image, names).drop(1).map(listLineOf),
  dump: (image, names) => list(image, names).map(dumpLineOf),
  objects: (image) => list(image).flatMap(({ backing }) => (backing === undefined ? [] : [backing])),
  joinsObjects: true,
  needsDirectory: true,
};

/** `composefs-info COMMAND [FILES]...`, called by this name. */
export function run(context: Context, args: Arguments): void {
  composefsInfo(context, args, IMAGE);
}

function list(image: Uint8Array, names?: ReadonlySet<string>) {
  return listImage(image, SHA256, names === undefined ? {} : { names });
}
