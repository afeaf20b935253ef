import type { ByteString } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import {
  type Content,
  type Directory,
  type Leaf,
  leaf,
  NO_XATTRS,
  type Node,
  type Xattrs,
} from "../model.ts";
import { directories, sortedEntries } from "../walk.ts";
import type { TypeLetter } from "./file-contexts.ts";
import type { FileLabels, LabelledPath } from "./policy.ts";

const SELINUX = "security.selinux";
/** As deep as the trees of images may be. */
const MAX_DEPTH = 2048;

const LETTERS: Readonly<Record<Content["type"], TypeLetter>> = {
  inline: "-",
  external: "-",
  "external-no-verity": "-",
  backed: "-",
  sparse: "-",
  symlink: "l",
  char: "c",
  block: "b",
  fifo: "p",
  socket: "s",
};

/** Removes the labels of all files. */
export function removeLabels(root: Directory): void {
  const labels = new Labels();
  for (const directory of directories(root)) {
    labels.set(directory, undefined);
    for (const node of directory.entries.values()) if (node.kind === "leaf") labels.set(node, undefined);
  }
}

/**
 * Gives every file the label that the policy has for its path, and none where it has none. Where two names of a file
 * have different labels, it becomes two files: the name that comes first in the order of the walk keeps it.
 */
export function relabel(root: Directory, policy: FileLabels): void {
  new Relabelling(policy).directory(root, policy.root(), 0);
}

class Relabelling {
  readonly #policy: FileLabels;
  readonly #labels = new Labels();
  /** Files that have got their label. */
  readonly #done = new Map<Leaf, ByteString | undefined>();

  constructor(policy: FileLabels) {
    this.#policy = policy;
  }

  directory(node: Directory, path: LabelledPath, depth: number): void {
    if (depth > MAX_DEPTH) throw new CfsError("Invalid", `deeper than ${MAX_DEPTH} directories`);
    this.#labels.set(node, this.#policy.labelOf(path, "d"));
    for (const [name, child] of sortedEntries(node)) {
      const childPath = this.#policy.below(path, name);
      if (child.kind === "directory") this.directory(child, childPath, depth + 1);
      else this.#file(node, name, child, childPath);
    }
  }

  #file(parent: Directory, name: ByteString, file: Leaf, path: LabelledPath): void {
    const label = this.#policy.labelOf(path, LETTERS[file.content.type]);
    if (!this.#done.has(file)) {
      this.#done.set(file, label);
      this.#labels.set(file, label);
    } else if (this.#done.get(file) !== label) {
      const copy = leaf(file.stat, file.content);
      this.#labels.set(copy, label);
      parent.entries.set(name, copy);
    }
  }
}

/** Nodes may share their metadata, which is not changed, and their xattr maps; those with the same label go on doing so. */
class Labels {
  readonly #byXattrs = new Map<Xattrs, Map<ByteString | undefined, Xattrs>>();

  set(node: Node, label: ByteString | undefined): void {
    const { xattrs } = node.stat;
    if (xattrs.get(SELINUX) === label) return;
    let byLabel = this.#byXattrs.get(xattrs);
    if (byLabel === undefined) {
      byLabel = new Map();
      this.#byXattrs.set(xattrs, byLabel);
    }
    let labelled = byLabel.get(label);
    if (labelled === undefined) {
      labelled = withLabel(xattrs, label);
      byLabel.set(label, labelled);
    }
    node.stat = { ...node.stat, xattrs: labelled };
  }
}

function withLabel(xattrs: Xattrs, label: ByteString | undefined): Xattrs {
  const copy = new Map(xattrs);
  if (label === undefined) copy.delete(SELINUX);
  else copy.set(SELINUX, label);
  return copy.size === 0 ? NO_XATTRS : copy;
}
