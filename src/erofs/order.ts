import { display } from "../bytes.ts";
import { FT_DIRECTORY } from "./format.ts";
import type { ImagePlan } from "./plan.ts";

/** Marks inodes that have their place. */
const PLACED = -2;
const HOMELESS = -1;

/** The order of first sight. */
export function identity(count: number): Int32Array {
  const order = new Int32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  return order;
}

/** Parents before children, and siblings by name, each with all that is below it: the order of version 2. */
export function depthFirst(plan: ImagePlan): Int32Array {
  const order = new Int32Array(plan.inodeCount);
  const placed = new Uint8Array(plan.inodeCount);
  let count = 1;
  walkDepthFirst(plan, (child) => {
    if (placed[child] !== 0) return;
    placed[child] = 1;
    order[count++] = child;
  });
  return order;
}

/**
 * Breadth-first, where a hard-linked inode waits for the directory that depth-first order reaches first: the order of
 * versions 0 and 1.
 */
export function breadthFirst(plan: ImagePlan): Int32Array {
  const { firstEntries, children, directoryOf, fileTypes, names } = plan;
  const homes = new Int32Array(plan.inodeCount).fill(HOMELESS);
  walkDepthFirst(plan, (child, _, directory) => {
    if (homes[child] === HOMELESS) homes[child] = directory;
  });
  const order = new Int32Array(plan.inodeCount);
  let count = 1;
  for (let next = 0; next < count; next++) {
    const inode = order[next]!;
    if (fileTypes[inode] !== FT_DIRECTORY) continue;
    const directory = directoryOf[inode]!;
    const end = firstEntries[directory + 1]!;
    for (let entry = firstEntries[directory]!; entry < end; entry++) {
      const child = children[entry]!;
      if (homes[child] !== directory || names.isDots(entry)) continue;
      homes[child] = PLACED;
      order[count++] = child;
    }
  }
  return order;
}

/** For messages: the first path that leads to an inode. Works while directories are still being read. */
export function inodePath(plan: ImagePlan, inode: number): string {
  const { names, parents } = plan;
  /** The entry that leads to a directory. */
  const entryOf = new Int32Array(plan.directoryCount);
  let first: { entry: number; directory: number } | undefined;
  walkDepthFirst(plan, (child, entry, directory) => {
    if (plan.fileTypes[child] === FT_DIRECTORY) entryOf[plan.directoryOf[child]!] = entry;
    if (child === inode) first ??= { entry, directory };
  });
  if (first === undefined) return "/";
  let path = `/${names.text(first.entry)}`;
  for (let at = first.directory; at !== 0; at = parents[at]!) path = `/${names.text(entryOf[at]!)}${path}`;
  return display(path);
}

/** Calls `visit` for every entry but `.` and `..`, each followed by the entries below it. */
function walkDepthFirst(
  plan: ImagePlan,
  visit: (child: number, entry: number, directory: number) => void,
): void {
  const { names, children, firstEntries, fileTypes, directoryOf, parents } = plan;
  /** By directory: the entry to go on with. */
  const next = firstEntries.slice();
  let directory = 0;
  for (;;) {
    const entry = next[directory]!;
    if (entry < firstEntries[directory + 1]!) {
      next[directory] = entry + 1;
      if (names.isDots(entry)) continue;
      const child = children[entry]!;
      visit(child, entry, directory);
      if (fileTypes[child] === FT_DIRECTORY) directory = directoryOf[child]!;
    } else if (directory === 0) {
      return;
    } else {
      directory = parents[directory]!;
    }
  }
}
