import type { ByteString } from "../bytes.ts";
import { display } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import {
  type Directory,
  type Entries,
  type Leaf,
  leaf,
  NO_XATTRS,
  type Node,
  type Stat,
} from "../tree/model.ts";
import { isWhiteout } from "../tree/walk.ts";
import {
  BLOCK_SIZE,
  DIRENT_SIZE,
  type FormatVersion,
  FT_BLOCK,
  FT_CHAR,
  FT_FIFO,
  FT_REGULAR,
  FT_SOCKET,
  FT_SYMLINK,
  MAX_NAME,
  STUB_NAMES,
} from "./format.ts";
import { breadthFirst, depthFirst, identity, inodePath } from "./order.ts";
import { ImagePlan, type PlanSize } from "./plan.ts";

const SELINUX = "security.selinux";

/**
 * The inodes of an image in their order. Stubs of versions 0 and 1 are added here; the tree stays as it is.
 * @throws CfsError Invalid for a name that no directory can hold, or a whiteout with several links.
 */
export function planImage(root: Directory, version: FormatVersion): ImagePlan {
  const size = measureTree(root);
  const plan = new ImagePlan(size);
  const hardLinked = new Collector(plan, root, version).collect();
  if (version === 2) plan.order = depthFirst(plan);
  else plan.order = hardLinked ? breadthFirst(plan) : identity(plan.inodeCount);
  return plan;
}

function measureTree(root: Directory): PlanSize {
  const pending = [root];
  const visit = (node: Node) => {
    if (node.kind === "directory") pending.push(node);
  };
  let count = 0;
  let entries = STUB_NAMES.length;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    count++;
    entries += next.entries.size;
    next.entries.forEach(visit);
  }
  return { inodes: 1 + entries, directories: count, entries: entries + 2 * count };
}

/**
 * Fills a plan with every inode once, in the order that versions 0 and 1 give to trees without hard links. Entries are
 * visited by `forEach` with functions that are made once: iterators and closures would leave 75 bytes an entry behind.
 */
class Collector {
  readonly #plan: ImagePlan;
  readonly #root: Directory;
  readonly #version: FormatVersion;
  #hardLinked = false;
  /** The directory that is read, and its next entry. */
  #directory = 0;
  #entry = 0;
  /** Whether its entries come in the order of their names, all above "..". */
  #sorted = true;
  #lastName: ByteString = "";

  constructor(plan: ImagePlan, root: Directory, version: FormatVersion) {
    this.#plan = plan;
    this.#root = root;
    this.#version = version;
  }

  /** @returns whether there are hard links. */
  collect(): boolean {
    const plan = this.#plan;
    this.#addDirectory(this.#root, 0);
    for (let directory = 0; directory < plan.directoryCount; directory++) {
      const inode = plan.inodeOf[directory]!;
      let { entries } = plan.nodes[inode] as Directory;
      if (directory === 0 && this.#version !== 2) entries = withStubs(this.#root);
      this.#sorted = true;
      this.#lastName = "..";
      try {
        entries.forEach(this.#checkName);
      } catch (error) {
        throw withContext(inodePath(plan, inode), error);
      }
      plan.linkCounts[inode] = 2;
      this.#directory = directory;
      this.#addEntries(entries);
      plan.firstEntries[directory + 1] = this.#entry;
      splitBlocks(plan, directory);
    }
    return this.#hardLinked;
  }

  #addEntries(entries: Entries): void {
    const { inodeOf, parents } = this.#plan;
    const self = inodeOf[this.#directory]!;
    const parent = inodeOf[parents[this.#directory]!]!;
    if (this.#sorted) {
      // Most trees come sorted, with all names above "..": then nothing has to be looked up again.
      this.#addEntry(".", self);
      this.#addEntry("..", parent);
      entries.forEach(this.#addNode);
      return;
    }
    for (const name of [".", "..", ...entries.keys()].sort()) {
      const node = entries.get(name);
      if (node === undefined) this.#addEntry(name, name === "." ? self : parent);
      else this.#addNode(node, name);
    }
  }

  /** Refuses a name that would be read back as something else, or not at all. */
  readonly #checkName = (_: Node, name: ByteString): void => {
    if (name === "" || name === "." || name === "..") throw badName(name, "is not allowed");
    if (name.length > MAX_NAME) throw badName(name, `is ${name.length} bytes long; the limit is ${MAX_NAME}`);
    if (name.includes("/") || name.includes("\0")) throw badName(name, "holds a slash or a NUL byte");
    if (name <= this.#lastName) this.#sorted = false;
    this.#lastName = name;
  };

  readonly #addNode = (node: Node, name: ByteString): void => {
    this.#addEntry(name, this.#inodeOf(node, name, this.#directory));
  };

  #addEntry(name: ByteString, inode: number): void {
    this.#plan.names.set(this.#entry, name);
    this.#plan.children[this.#entry] = inode;
    this.#entry++;
  }

  /** The inode that an entry leads to, counted as one more link. */
  #inodeOf(node: Node, name: ByteString, directory: number): number {
    const plan = this.#plan;
    if (node.kind === "directory") {
      plan.linkCounts[plan.inodeOf[directory]!]!++;
      return this.#addDirectory(node, directory);
    }
    let inode = node.indexIn(plan.nodes);
    if (inode < 0) {
      inode = plan.addLeaf(node, this.#fileTypeOf(node, name, directory));
      const { type } = node.content;
      if (type === "external" || type === "external-no-verity" || type === "backed") plan.objectReferences++;
    } else {
      this.#hardLinked = true;
      if (isWhiteout(node)) {
        throw new CfsError("Invalid", "invalid composefs filesystem: whiteout inode has nlink > 1");
      }
    }
    plan.linkCounts[inode]!++;
    if (plan.isEscaped(inode)) plan.holdEscaped[directory] = 1;
    return inode;
  }

  #addDirectory(node: Directory, parent: number): number {
    const plan = this.#plan;
    const inode = plan.addDirectory(node);
    const directory = plan.directoryCount++;
    plan.directoryOf[inode] = directory;
    plan.inodeOf[directory] = inode;
    plan.parents[directory] = parent;
    return inode;
  }

  #fileTypeOf(leaf: Leaf, name: ByteString, directory: number): number {
    switch (leaf.content.type) {
      case "symlink":
        return FT_SYMLINK;
      case "char": {
        const escaped =
          this.#version !== 2 &&
          isWhiteout(leaf) &&
          !(directory === 0 && looksLikeStub(name, leaf.stat, this.#root.stat));
        return escaped ? FT_REGULAR : FT_CHAR;
      }
      case "block":
        return FT_BLOCK;
      case "fifo":
        return FT_FIFO;
      case "socket":
        return FT_SOCKET;
      default:
        return FT_REGULAR;
    }
  }
}

/** A root's entries with a whiteout for every object directory's name that is free. */
function withStubs(root: Directory): Map<ByteString, Node> {
  const entries = new Map(root.entries);
  const { uid, gid, mtime, mtimeNsec } = root.stat;
  const label = root.stat.xattrs.get(SELINUX);
  const xattrs = label === undefined ? NO_XATTRS : new Map([[SELINUX, label]]);
  const stat: Stat = { mode: 0o644, uid, gid, mtime, mtimeNsec, xattrs };
  for (const name of STUB_NAMES) {
    if (!entries.has(name)) entries.set(name, leaf(stat, { type: "char", rdev: 0n }));
  }
  return entries;
}

/** Whether a whiteout in the root equals the one that versions 0 and 1 would put there themselves. */
export function looksLikeStub(name: ByteString, stat: Stat, rootStat: Stat): boolean {
  if (!/^[0-9a-f]{2}$/.test(name) || stat.mode !== 0o644) return false;
  if (stat.uid !== rootStat.uid || stat.gid !== rootStat.gid) return false;
  if (stat.mtime !== rootStat.mtime || stat.mtimeNsec !== rootStat.mtimeNsec) return false;
  const label = rootStat.xattrs.get(SELINUX);
  if (label === undefined) return stat.xattrs.size === 0;
  return stat.xattrs.size === 1 && stat.xattrs.get(SELINUX) === label;
}

function badName(name: ByteString, why: string): CfsError {
  return new CfsError("Invalid", `file name "${display(name)}" ${why}`);
}

/** Fills blocks greedily; an open rest above half a block becomes a block too. */
function splitBlocks(plan: ImagePlan, directory: number): void {
  const end = plan.firstEntries[directory + 1]!;
  let blocks = 0;
  let used = 0;
  for (let entry = plan.firstEntries[directory]!; entry < end; entry++) {
    const size = DIRENT_SIZE + plan.names.lengthOf(entry);
    if (used + size > BLOCK_SIZE) {
      blocks++;
      used = 0;
    }
    used += size;
  }
  const full = used > BLOCK_SIZE / 2;
  plan.blocks[directory] = full ? blocks + 1 : blocks;
  plan.tails[directory] = full ? 0 : used;
}
