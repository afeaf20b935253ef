import { type ByteString, bytesOf } from "../bytes.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { fsVerityDigest } from "../verity/merkle.ts";
import { bytesText, deviceText, modeText, type NodeType, timeText, typeOf } from "./diff-text.ts";
import type { Content, Directory, Leaf, Node, Stat } from "./model.ts";
import { countLinks, sortedEntries } from "./walk.ts";

/** What two entries of the same path may differ in. */
export const DIFF_FIELDS = [
  /** One tree has no such entry. */
  "entry",
  "type",
  "mode",
  "uid",
  "gid",
  "mtime",
  "size",
  /** fs-verity digest of a file's content. */
  "digest",
  /** Whether the kernel is to enforce the digest. */
  "verity",
  /** Of a symbolic link. */
  "target",
  /** Of a device. */
  "rdev",
  /** How many names the file has. */
  "nlink",
  /** The first name of the file that this entry is a hard link to. */
  "hardlink",
  /** An extended attribute; each is a difference of its own. */
  "xattr",
] as const;

export type DiffField = (typeof DIFF_FIELDS)[number];

/** One difference between two trees. */
export interface Difference {
  /** `/` for the root, else `/a/b`. */
  readonly path: ByteString;
  readonly field: DiffField;
  /** Name of the extended attribute, of field `xattr`. */
  readonly xattr?: ByteString;
  /** As text without control characters; undefined where there is none. */
  readonly expected: string | undefined;
  readonly found: string | undefined;
  /** The entries themselves. */
  readonly expectedNode: Node | undefined;
  readonly foundNode: Node | undefined;
}

export interface DiffOptions {
  /** That of the digests in the expected tree; content inside of a tree is hashed with it. */
  readonly algorithm: Algorithm;
  /** That of the other tree, when it is not the same: of content that is in objects only sizes are compared then. */
  readonly foundAlgorithm?: Algorithm;
  readonly ignore?: ReadonlySet<DiffField>;
}

/**
 * Compares two trees entry by entry, in the order of paths: directories before what is in them, names in the order of
 * their bytes. Below a directory that only one tree has, every entry is a difference. Link counts of directories follow
 * from the tree and are not compared.
 */
export function* diffTrees(
  expected: Directory,
  found: Directory,
  options: DiffOptions,
): Generator<Difference> {
  const compare = new Comparison(expected, found, options);
  yield* compare.nodes("/", expected, found);
  const stack = [frameOf("/", expected, found)];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const name = frame.names[frame.next++];
    if (name === undefined) {
      stack.pop();
      continue;
    }
    const path = frame.prefix + name;
    const a = frame.expected?.entries.get(name);
    const b = frame.found?.entries.get(name);
    if (!compare.isSame(a, b)) yield* compare.nodes(path, a, b);
    const [below, belowFound] = [asDirectory(a), asDirectory(b)];
    if (below !== undefined || belowFound !== undefined) stack.push(frameOf(`${path}/`, below, belowFound));
  }
}

/** Two directories of the same path, one of which may be missing. */
interface Frame {
  readonly prefix: ByteString;
  readonly expected: Directory | undefined;
  readonly found: Directory | undefined;
  /** Of the entries of both, sorted. */
  readonly names: readonly ByteString[];
  next: number;
}

function frameOf(prefix: ByteString, expected: Directory | undefined, found: Directory | undefined): Frame {
  const names = [...(expected?.entries.keys() ?? [])];
  for (const name of found?.entries.keys() ?? []) if (expected?.entries.has(name) !== true) names.push(name);
  return { prefix, expected, found, names: names.sort(), next: 0 };
}

function asDirectory(node: Node | undefined): Directory | undefined {
  return node?.kind === "directory" ? node : undefined;
}

class Comparison {
  readonly #algorithm: Algorithm;
  readonly #foundAlgorithm: Algorithm;
  readonly #ignore: ReadonlySet<DiffField>;
  readonly #expectedLinks: LinkGroups;
  readonly #foundLinks: LinkGroups;

  constructor(expected: Directory, found: Directory, options: DiffOptions) {
    const { algorithm, foundAlgorithm = algorithm, ignore = new Set() } = options;
    this.#algorithm = algorithm;
    this.#foundAlgorithm = foundAlgorithm;
    this.#ignore = ignore;
    this.#expectedLinks = linkGroups(expected);
    this.#foundLinks = linkGroups(found);
  }

  /** A quick look: what is not the same may still not differ in any field. */
  isSame(a: Node | undefined, b: Node | undefined): boolean {
    if (a === undefined || b === undefined || !isSameStat(a.stat, b.stat)) return false;
    if (a.kind === "directory" || b.kind === "directory") return a.kind === b.kind;
    if (this.#expectedLinks.has(a) || this.#foundLinks.has(b)) return false;
    return isSameContent(a.content, b.content);
  }

  *nodes(path: ByteString, a: Node | undefined, b: Node | undefined): Generator<Difference> {
    for (const { field, expected, found, xattr } of this.#fields(a, b)) {
      if (expected === found || this.#ignore.has(field)) continue;
      yield {
        path,
        field,
        expected,
        found,
        expectedNode: a,
        foundNode: b,
        ...(xattr !== undefined && { xattr }),
      };
    }
  }

  /** The fields that the two may differ in. */
  *#fields(a: Node | undefined, b: Node | undefined): Generator<FieldPair> {
    if (a === undefined || b === undefined) {
      yield { field: "entry", expected: a && typeOf(a), found: b && typeOf(b) };
      return;
    }
    const [typeA, typeB] = [typeOf(a), typeOf(b)];
    if (typeA !== typeB) yield { field: "type", expected: typeA, found: typeB };
    yield* statFields(a.stat, b.stat);
    if (a.kind === "leaf" && b.kind === "leaf") {
      if (typeA === typeB) yield* this.#contentFields(typeA, a.content, b.content);
      yield* this.#linkFields(a, b);
    }
    yield* xattrFields(a.stat, b.stat);
  }

  *#contentFields(type: NodeType, a: Content, b: Content): Generator<FieldPair> {
    if (type === "file") {
      if (a.type === "inline" && b.type === "inline" && a.data === b.data) return;
      yield { field: "size", expected: String(sizeOf(a)), found: String(sizeOf(b)) };
      yield { field: "digest", ...this.#digests(a, b) };
      yield { field: "verity", ...enforcement(a, b) };
    } else if (a.type === "symlink" && b.type === "symlink") {
      if (a.target !== b.target)
        yield { field: "target", expected: bytesText(a.target), found: bytesText(b.target) };
    } else if ("rdev" in a && "rdev" in b) {
      yield { field: "rdev", expected: deviceText(a.rdev), found: deviceText(b.rdev) };
    }
  }

  #digests(a: Content, b: Content): { expected: ObjectId | undefined; found: ObjectId | undefined } {
    const areObjects = "id" in a && "id" in b;
    if (areObjects && this.#algorithm !== this.#foundAlgorithm)
      return { expected: undefined, found: undefined };
    const algorithm = "id" in b ? this.#foundAlgorithm : this.#algorithm;
    return { expected: digestOf(a, algorithm), found: digestOf(b, algorithm) };
  }

  *#linkFields(a: Leaf, b: Leaf): Generator<FieldPair> {
    const groupA = this.#expectedLinks.get(a);
    const groupB = this.#foundLinks.get(b);
    if (groupA === undefined && groupB === undefined) return;
    const [countA, countB] = [groupA?.count ?? 1, groupB?.count ?? 1];
    if (countA !== countB) yield { field: "nlink", expected: String(countA), found: String(countB) };
    else if (groupA!.first !== groupB!.first)
      yield { field: "hardlink", expected: bytesText(groupA!.first), found: bytesText(groupB!.first) };
  }
}

function digestOf(content: Content, algorithm: Algorithm): ObjectId | undefined {
  if (content.type === "inline") return fsVerityDigest(bytesOf(content.data), algorithm);
  return "id" in content ? content.id : undefined;
}

interface FieldPair {
  readonly field: DiffField;
  readonly xattr?: ByteString;
  readonly expected: string | undefined;
  readonly found: string | undefined;
}

function isSameStat(a: Stat, b: Stat): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.mtime === b.mtime &&
    a.mtimeNsec === b.mtimeNsec &&
    (a.xattrs === b.xattrs || (a.xattrs.size === 0 && b.xattrs.size === 0))
  );
}

function isSameContent(a: Content, b: Content): boolean {
  if (a.type === "inline") return b.type === "inline" && a.data === b.data;
  if (a.type === "external") return b.type === "external" && a.id === b.id && a.size === b.size;
  if (a.type === "sparse") return b.type === "sparse" && a.size === b.size;
  return a.type === "symlink" && b.type === "symlink" && a.target === b.target;
}

function* statFields(a: Stat, b: Stat): Generator<FieldPair> {
  if (a.mode !== b.mode) yield { field: "mode", expected: modeText(a.mode), found: modeText(b.mode) };
  if (a.uid !== b.uid) yield { field: "uid", expected: String(a.uid), found: String(b.uid) };
  if (a.gid !== b.gid) yield { field: "gid", expected: String(a.gid), found: String(b.gid) };
  if (a.mtime !== b.mtime || a.mtimeNsec !== b.mtimeNsec)
    yield { field: "mtime", expected: timeText(a), found: timeText(b) };
}

function* xattrFields({ xattrs: a }: Stat, { xattrs: b }: Stat): Generator<FieldPair> {
  if (a === b || (a.size === 0 && b.size === 0)) return;
  for (const xattr of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const [valueA, valueB] = [a.get(xattr), b.get(xattr)];
    if (valueA === valueB) continue;
    const text = (value: ByteString | undefined) => (value === undefined ? undefined : bytesText(value));
    yield { field: "xattr", xattr, expected: text(valueA), found: text(valueB) };
  }
}

function sizeOf(content: Content): bigint {
  if (content.type === "inline") return BigInt(content.data.length);
  return "size" in content ? content.size : 0n;
}

/** Of content that is inside of the tree nothing has to be enforced. */
function enforcement(a: Content, b: Content): { expected: string | undefined; found: string | undefined } {
  const text = ({ type }: Content) =>
    type === "external" ? "enforced" : type === "external-no-verity" ? "not enforced" : undefined;
  const [expected, found] = [text(a), text(b)];
  return expected === undefined || found === undefined
    ? { expected: undefined, found: undefined }
    : { expected, found };
}

/** Of the files with several names: how many, and the first one. */
type LinkGroups = ReadonlyMap<Leaf, { readonly count: number; first: ByteString }>;

function linkGroups(root: Directory): LinkGroups {
  const groups = new Map<Leaf, { readonly count: number; first: ByteString }>();
  for (const [leaf, count] of countLinks(root)) groups.set(leaf, { count, first: "" });
  if (groups.size === 0) return groups;
  const stack = [{ prefix: "/", entries: sortedEntries(root), next: 0 }];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const entry = frame.entries[frame.next++];
    if (entry === undefined) {
      stack.pop();
      continue;
    }
    const [name, node] = entry;
    if (node.kind === "directory")
      stack.push({ prefix: `${frame.prefix}${name}/`, entries: sortedEntries(node), next: 0 });
    else {
      const group = groups.get(node);
      if (group?.first === "") group.first = frame.prefix + name;
    }
  }
  return groups;
}
