import { readImage } from "../../erofs/reader.ts";
import { dumpTree } from "../../tree/dump.ts";
import { listTree } from "../../tree/list.ts";
import type { Directory } from "../../tree/model.ts";
import { externalObjects } from "../../tree/walk.ts";
import { objectPath, SHA256 } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import { composefsInfo, type InfoDialect } from "../composefs-info.ts";
import type { Context } from "../context.ts";

/** As composefs-rs prints it: the tree as it was before it became an image. */
const TREE: InfoDialect = {
  ls: (image, names) => listTree(treeOf(image), names),
  dump: (image, names) => dumpTree(onlyNamed(treeOf(image), names)),
  objects: (image) => externalObjects(treeOf(image)).map(objectPath),
  joinsObjects: false,
  needsDirectory: false,
};

/** `cfsctl composefs-info COMMAND [FILES]...` */
export function run(context: Context, args: Arguments): void {
  composefsInfo(context, args, TREE);
}

function treeOf(image: Uint8Array): Directory {
  return readImage(image, SHA256).root;
}

function onlyNamed(root: Directory, names: ReadonlySet<string> | undefined): Directory {
  if (names === undefined) return root;
  const entries = new Map([...root.entries].filter(([name]) => names.has(name)));
  return { ...root, entries };
}
