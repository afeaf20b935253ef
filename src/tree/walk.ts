import { type ByteString, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { Directory, Leaf, Node } from "./model.ts";

/** Entries of a directory in the order of their name bytes. */
export function sortedEntries(directory: Directory): [ByteString, Node][] {
  const entries = Array.from(directory.entries);
  // Most come in order.
  if (entries.some(([name], i) => i > 0 && name < entries[i - 1]![0]))
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return entries;
}

/** A character device 0:0, which overlayfs takes for "not here". */
export function isWhiteout(leaf: Leaf): boolean {
  return leaf.content.type === "char" && leaf.content.rdev === 0n;
}

/** How many names those files have that have more than one. */
export type LinkCounts = ReadonlyMap<Leaf, number>;

export function countLinks(root: Directory): LinkCounts {
  const counts = new Map<Leaf, number>();
  const seen: Leaf[] = [];
  for (const directory of directories(root)) {
    for (const node of directory.entries.values()) {
      if (node.kind !== "leaf") continue;
      if (node.indexIn(seen) < 0) node.placeIn(seen, seen.length);
      else counts.set(node, (counts.get(node) ?? 1) + 1);
    }
  }
  return counts;
}

/** 2 and the number of subdirectories. */
export function directoryLinks(directory: Directory): number {
  let links = 2;
  for (const node of directory.entries.values()) if (node.kind === "directory") links++;
  return links;
}

/** All directories of a tree, each before those below it; the order of siblings is not defined. */
export function* directories(root: Directory): Generator<Directory> {
  const pending = [root];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield next;
    for (const node of next.entries.values()) if (node.kind === "directory") pending.push(node);
  }
}

/** The objects of all files with an enforced digest, sorted. */
export function externalObjects(root: Directory): ObjectId[] {
  const objects = new Set<ObjectId>();
  for (const directory of directories(root)) {
    for (const node of directory.entries.values()) {
      if (node.kind === "leaf" && node.content.type === "external") objects.add(node.content.id);
    }
  }
  return Array.from(objects).sort();
}

/**
 * Parts of a path as the commands take it: a leading `/`, repeated `/`, a trailing `/` and `.` don't count.
 * @returns the path of the directory (for messages), its components and the last name.
 * @throws CfsError Invalid when the path names no entry (`/`) or holds `..`.
 */
function splitPath(path: ByteString): {
  parent: ByteString;
  components: ByteString[];
  name: ByteString;
} {
  const components = path.split("/").filter((c) => c !== "" && c !== ".");
  const name = components.pop();
  const parent = components.join("/");
  if (name === undefined || name === "..")
    throw new CfsError("Invalid", `Invalid filename "${display(path)}"`);
  if (components.includes("..")) {
    const end = path.replace(/\/+$/, "").lastIndexOf("/");
    throw new CfsError("Invalid", `Invalid filename "${display(path.slice(0, end))}"`);
  }
  return { parent, components, name };
}

/**
 * The directory at a path below `root`; empty or `/`: the root.
 * @throws CfsError NotFound or Invalid.
 */
export function lookupDirectory(root: Directory, path: ByteString): Directory {
  let directory = root;
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") throw new CfsError("Invalid", `Invalid filename "${display(path)}"`);
    directory = subdirectory(directory, name);
  }
  return directory;
}

/** @throws CfsError NotFound when there is no such entry, Invalid when it is no directory. */
export function subdirectory(directory: Directory, name: ByteString): Directory {
  const node = directory.entries.get(name);
  if (node === undefined) throw new CfsError("NotFound", `Directory entry "${display(name)}" does not exist`);
  if (node.kind !== "directory") {
    throw new CfsError("Invalid", `Directory entry "${display(name)}" is not a subdirectory`);
  }
  return node;
}

/**
 * The node at a path, which must not be the root; undefined when its directory has no such entry.
 * @throws CfsError NotFound or Invalid when the way there does not exist.
 */
export function findNode(root: Directory, path: ByteString): Node | undefined {
  const { components, name } = splitPath(path);
  let directory = root;
  for (const component of components) directory = subdirectory(directory, component);
  return directory.entries.get(name);
}

/** The same, where a missing entry is an error too. */
export function lookup(root: Directory, path: ByteString): Node {
  const node = findNode(root, path);
  if (node === undefined) {
    throw new CfsError("NotFound", `Directory entry "${display(splitPath(path).name)}" does not exist`);
  }
  return node;
}
