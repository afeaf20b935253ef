import { display, fromText } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { readImageTree } from "../../repository/images.ts";
import { dumpNode } from "../../tree/dump.ts";
import type { Directory, Node } from "../../tree/model.ts";
import { countLinks, findNode } from "../../tree/walk.ts";
import { objectPath } from "../../verity/digest.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { openRepository } from "../repository.ts";

/** `cfsctl dump-files IMAGE_NAME [FILES]...`: nothing is printed unless all files are found. */
export function run(context: Context, args: Arguments): void {
  const { out } = context;
  using repository = openRepository(context);
  const root = readImageTree(repository, args.required("IMAGE_NAME"));
  const files = args.rest("FILES").map(fromText);
  const nodes = files.map((path) => nodeAt(root, path));
  if (args.flag("backing-path-only")) {
    const lines = nodes.map((node, i) => `${files[i]!} ${backingPath(node, files[i]!)}\n`);
    out.bytes(Buffer.from(lines.join(""), "latin1"));
    return;
  }
  const links = countLinks(root);
  for (const [i, node] of nodes.entries())
    for (const text of dumpNode(node, files[i]!, links)) out.text(text);
}

/** The root itself can be named as well. */
function nodeAt(root: Directory, path: string): Node {
  if (/^\/+$/.test(path)) return root;
  const node = findNode(root, path);
  if (node === undefined) throw new CfsError("NotFound", `${display(path)} not found`);
  return node;
}

function backingPath(node: Node, path: string): string {
  if (node.kind === "directory") throw new CfsError("Invalid", `${display(path)} is a directory`);
  const { content } = node;
  return content.type === "external" || content.type === "external-no-verity"
    ? objectPath(content.id)
    : "inline";
}
