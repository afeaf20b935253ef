import type { ByteString } from "../bytes.ts";
import { display } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { type Directory, type Leaf, NO_XATTRS, type Node, type Stat } from "../tree/model.ts";
import { isWhiteout } from "../tree/walk.ts";
import {
  BLOCK_SIZE,
  DIRENT_SIZE,
  type FormatVersion,
  FT_BLOCK,
  FT_CHAR,
  FT_DIRECTORY,
  FT_FIFO,
  FT_REGULAR,
  FT_SOCKET,
  FT_SYMLINK,
  MAX_NAME,
  STUB_NAMES,
} from "./format.ts";
import type { ObjectUse, XattrSet } from "./xattrs.ts";

const SELINUX = "security.selinux";

/** What the writer knows of one inode. Fields are filled in step by step: tree, xattrs, layout, place. */
export class Inode {
  readonly node: Node;
  readonly fileType: number;
  /** A whiteout that is written as an empty file with markers. */
  readonly escaped: boolean;
  readonly directory: DirectoryPlan | undefined;
  /** References found in the tree. */
  nlink = 0;
  /** The directory where a hard-linked inode takes its place in breadth-first order. */
  home: DirectoryPlan | undefined;
  emitted = false;

  set: XattrSet | undefined;
  object: ObjectUse | undefined;
  xattrSize = 0;

  layout = 0;
  sizeLow = 0;
  sizeHigh = 0;
  /** The `u` field: block number, chunk format or device number. */
  u = 0;
  /** Bytes behind the xattrs. */
  tail = 0;
  /** Data blocks of its own. */
  blocks = 0;
  extended = false;
  /** Byte offset in the image. */
  at = 0;

  constructor(node: Node, fileType: number, escaped: boolean, directory: DirectoryPlan | undefined) {
    this.node = node;
    this.fileType = fileType;
    this.escaped = escaped;
    this.directory = directory;
  }
}

/** Entries of a directory in the order of their names, `.` and `..` among them. */
export class DirectoryPlan {
  names: readonly ByteString[] = [];
  readonly children: Inode[] = [];
  /** The names without separators, as they stand in a block. */
  joined: ByteString = "";
  /** For each full block, the index of the entry behind its last one. */
  readonly blockEnds: number[] = [];
  holdsEscaped = false;
}

/**
 * The inodes of an image in their order. Stubs of versions 0 and 1 are added here; the tree stays as it is.
 * @throws CfsError Invalid for a name that no directory can hold, or a whiteout with several links.
 */
export function planInodes(root: Directory, version: FormatVersion): Inode[] {
  const { inodes, hardLinked } = collectInodes(root, version);
  if (version === 2) return depthFirst(inodes[0]!);
  return hardLinked ? breadthFirst(inodes) : inodes;
}

/** Every inode once, in breadth-first order of first sight: the final order of versions 0 and 1 without hard links. */
function collectInodes(root: Directory, version: FormatVersion): { inodes: Inode[]; hardLinked: boolean } {
  const rootInode = directoryInode(root);
  const inodes = [rootInode];
  const queue = [rootInode];
  const parents = [rootInode];
  const seen = new Map<Leaf, Inode>();
  let hardLinked = false;
  for (let q = 0; q < queue.length; q++) {
    const inode = queue[q]!;
    const parent = parents[q]!;
    const plan = inode.directory!;
    const isRoot = q === 0;
    let entries: ReadonlyMap<ByteString, Node> = (inode.node as Directory).entries;
    if (isRoot && version !== 2) entries = withStubs(root);
    const { names, nodes } = sortedEntries(entries);
    let subdirectories = 0;
    for (let i = 0; i < names.length; i++) {
      const node = nodes[i];
      let child: Inode | undefined;
      if (node === undefined) {
        child = names[i] === "." ? inode : parent;
      } else if (node.kind === "directory") {
        child = directoryInode(node);
        inodes.push(child);
        queue.push(child);
        parents.push(inode);
        subdirectories++;
      } else {
        child = seen.get(node);
        if (child === undefined) {
          child = leafInode(node, names[i]!, version, isRoot ? root.stat : undefined);
          seen.set(node, child);
          inodes.push(child);
        } else {
          hardLinked = true;
          if (isWhiteout(node)) {
            throw new CfsError("Invalid", "invalid composefs filesystem: whiteout inode has nlink > 1");
          }
        }
        child.nlink++;
        if (child.escaped) plan.holdsEscaped = true;
      }
      plan.children.push(child);
    }
    inode.nlink = 2 + subdirectories;
    plan.names = names;
    try {
      checkNames(entries, plan);
    } catch (error) {
      throw withContext(inodePath(rootInode, inode), error);
    }
    splitBlocks(plan);
  }
  return { inodes, hardLinked };
}

/** A root's entries with a whiteout for every object directory's name that is free. */
function withStubs(root: Directory): Map<ByteString, Node> {
  const entries = new Map(root.entries);
  const { uid, gid, mtime, mtimeNsec } = root.stat;
  const label = root.stat.xattrs.get(SELINUX);
  const xattrs = label === undefined ? NO_XATTRS : new Map([[SELINUX, label]]);
  const stat: Stat = { mode: 0o644, uid, gid, mtime, mtimeNsec, xattrs };
  for (const name of STUB_NAMES) {
    if (!entries.has(name)) entries.set(name, { kind: "leaf", stat, content: { type: "char", rdev: 0n } });
  }
  return entries;
}

/** Names in byte order with `.` and `..` among them, which have no node. */
function sortedEntries(entries: ReadonlyMap<ByteString, Node>): {
  names: ByteString[];
  nodes: (Node | undefined)[];
} {
  const names: ByteString[] = [];
  const nodes: (Node | undefined)[] = [];
  let sorted = true;
  let last = "..";
  // Most trees come sorted, with all names above "..": then nothing has to be looked up again.
  names.push(".", "..");
  nodes.push(undefined, undefined);
  entries.forEach((node, name) => {
    if (name <= last) sorted = false;
    last = name;
    names.push(name);
    nodes.push(node);
  });
  if (sorted) return { names, nodes };
  names.sort();
  return { names, nodes: names.map((name) => entries.get(name)) };
}

/** Names that would be read back as something else, or not at all. */
function checkNames(entries: ReadonlyMap<ByteString, Node>, plan: DirectoryPlan): void {
  plan.joined = plan.names.join("");
  const bad = (name: ByteString, why: string) =>
    new CfsError("Invalid", `file name "${display(name)}" ${why}`);
  for (const name of ["", ".", ".."]) if (entries.has(name)) throw bad(name, "is not allowed");
  if (plan.joined.includes("/") || plan.joined.includes("\0")) {
    throw bad(plan.names.find((n) => n.includes("/") || n.includes("\0"))!, "holds a slash or a NUL byte");
  }
  for (const name of plan.names) {
    if (name.length > MAX_NAME) throw bad(name, `is ${name.length} bytes long; the limit is ${MAX_NAME}`);
  }
}

/** Fills blocks greedily; an open rest above half a block becomes a block too. */
function splitBlocks(plan: DirectoryPlan): void {
  const { names } = plan;
  let used = plan.joined.length + DIRENT_SIZE * names.length;
  if (used > BLOCK_SIZE) {
    used = 0;
    for (let i = 0; i < names.length; i++) {
      const size = DIRENT_SIZE + names[i]!.length;
      if (used + size > BLOCK_SIZE) {
        plan.blockEnds.push(i);
        used = 0;
      }
      used += size;
    }
  }
  if (used > BLOCK_SIZE / 2) plan.blockEnds.push(names.length);
}

function directoryInode(node: Directory): Inode {
  return new Inode(node, FT_DIRECTORY, false, new DirectoryPlan());
}

/** @param rootStat the root's metadata when the leaf lies in the root. */
function leafInode(leaf: Leaf, name: ByteString, version: FormatVersion, rootStat: Stat | undefined): Inode {
  const escaped =
    version !== 2 &&
    isWhiteout(leaf) &&
    !(rootStat !== undefined && looksLikeStub(name, leaf.stat, rootStat));
  return new Inode(leaf, escaped ? FT_REGULAR : fileTypeOf(leaf), escaped, undefined);
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

function fileTypeOf(leaf: Leaf): number {
  switch (leaf.content.type) {
    case "symlink":
      return FT_SYMLINK;
    case "char":
      return FT_CHAR;
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

function isDots(name: ByteString): boolean {
  return name === "." || name === "..";
}

/** Calls `visit` for every directory, parents before children, in depth-first order of names. */
function walkDepthFirst(
  root: Inode,
  visit: (child: Inode, parent: DirectoryPlan, name: ByteString) => void,
): void {
  const stack: { plan: DirectoryPlan; next: number }[] = [{ plan: root.directory!, next: 0 }];
  while (stack.length > 0) {
    const frame = stack.at(-1)!;
    const { plan } = frame;
    let descended = false;
    while (frame.next < plan.names.length) {
      const i = frame.next++;
      if (isDots(plan.names[i]!)) continue;
      const child = plan.children[i]!;
      visit(child, plan, plan.names[i]!);
      if (child.directory !== undefined) {
        stack.push({ plan: child.directory, next: 0 });
        descended = true;
        break;
      }
    }
    if (!descended) stack.pop();
  }
}

/** For messages: the first path that leads to an inode. */
export function inodePath(root: Inode, target: Inode): string {
  const parents = new Map<Inode | DirectoryPlan, { plan: DirectoryPlan; name: ByteString }>();
  walkDepthFirst(root, (child, plan, name) => {
    const known = { plan, name };
    if (!parents.has(child)) parents.set(child, known);
    if (child.directory !== undefined) parents.set(child.directory, known);
  });
  let path = "";
  for (let at = parents.get(target); at !== undefined; at = parents.get(at.plan)) path = `/${at.name}${path}`;
  return display(path === "" ? "/" : path);
}

function depthFirst(root: Inode): Inode[] {
  const order = [root];
  walkDepthFirst(root, (child) => {
    if (child.emitted) return;
    child.emitted = true;
    order.push(child);
  });
  return order;
}

/** Breadth-first, where a hard-linked inode waits for the directory that depth-first order reaches first. */
function breadthFirst(inodes: readonly Inode[]): Inode[] {
  const root = inodes[0]!;
  walkDepthFirst(root, (child, parent) => {
    child.home ??= parent;
  });
  const order = [root];
  for (let q = 0; q < order.length; q++) {
    const plan = order[q]!.directory;
    if (plan === undefined) continue;
    for (let i = 0; i < plan.children.length; i++) {
      const child: Inode = plan.children[i]!;
      if (child.emitted || child.home !== plan || isDots(plan.names[i]!)) continue;
      child.emitted = true;
      order.push(child);
    }
  }
  return order;
}
