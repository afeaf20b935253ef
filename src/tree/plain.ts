import { type Directory, type Leaf, leaf } from "./model.ts";
import { directories } from "./walk.ts";

/** Takes all device nodes out of a tree, whiteouts among them. */
export function dropDevices(root: Directory): void {
  for (const { entries } of directories(root)) {
    for (const [name, node] of entries) {
      if (node.kind === "leaf" && (node.content.type === "char" || node.content.type === "block"))
        entries.delete(name);
    }
  }
}

/** Gives everything the time 0. */
export function dropTimes(root: Directory): void {
  for (const directory of directories(root)) {
    directory.stat = { ...directory.stat, mtime: 0n, mtimeNsec: 0 };
    for (const node of directory.entries.values())
      if (node.kind === "leaf") node.stat = { ...node.stat, mtime: 0n, mtimeNsec: 0 };
  }
}

/** Makes every name of a hard-linked file a file of its own. */
export function separateHardLinks(root: Directory): void {
  const seen = new Set<Leaf>();
  for (const { entries } of directories(root)) {
    for (const [name, node] of entries) {
      if (node.kind !== "leaf") continue;
      if (seen.has(node)) entries.set(name, leaf(node.stat, node.content));
      else seen.add(node);
    }
  }
}
