import { type ByteString, display } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import type { TarEntry } from "../tar/entry.ts";
import {
  type Content,
  type Directory,
  directory,
  type Leaf,
  leaf,
  type Node,
  type Stat,
} from "../tree/model.ts";
import { defaultRootStat } from "../tree/transform.ts";
import type { LayerContent, LayerEntry } from "./layer-entries.ts";

const WHITEOUT_PREFIX = ".wh.";
const OPAQUE_WHITEOUT = ".wh..wh..opq";

/** Images are read back with the same limit. */
const MAX_DEPTH = 2048;

/** Turns the stored form of a sparse file into the content of the expanded file. */
export type ExpandSparse = (entry: TarEntry, stored: LayerContent) => Content;

/** A tree without files, as it is before the first layer. */
export function emptyRoot(): Directory {
  return directory(defaultRootStat());
}

/**
 * Replays a layer on the tree that the layers below it have made. Whiteouts take effect at once, on entries of the
 * same layer too; directories that no entry describes are owned by root, with mode 0755 and time 0.
 * @throws CfsError Invalid, naming the entry; the tree is then of no use any more.
 */
export function applyLayer(root: Directory, entries: Iterable<LayerEntry>, expandSparse: ExpandSparse): void {
  const replay = new Replay(root, expandSparse);
  for (const item of entries) {
    try {
      replay.apply(item);
    } catch (error) {
      throw withContext(`layer entry ${display(item.entry.path)}`, error);
    }
  }
}

/** Paths up to this length are remembered, and this many of them: bounds the memory, not what is accepted. */
const MAX_KNOWN_PATH = 1024;
const MAX_KNOWN = 16_384;

class Replay {
  readonly #root: Directory;
  readonly #expandSparse: ExpandSparse;
  /** Directories by the text of their path: 45,000 entries lie in 5,000 directories, one below the other. */
  readonly #known = new Map<ByteString, Directory>();

  constructor(root: Directory, expandSparse: ExpandSparse) {
    this.#root = root;
    this.#expandSparse = expandSparse;
  }

  apply({ entry, content }: LayerEntry): void {
    const { path: fullPath } = entry;
    if (fullPath.includes("\0")) throw invalid("the name contains a NUL byte");
    const path = fullPath.endsWith("/") ? fullPath.slice(0, -1) : fullPath;
    // The usual path ends in a plain name, and what lies before it has been seen.
    const isPlain = path !== "" && !path.endsWith("/") && !path.endsWith(".");
    const components = isPlain ? undefined : splitComponents(path);
    const slash = path.lastIndexOf("/");
    const name = components === undefined ? path.slice(slash + 1) : (components.at(-1) ?? "..");
    if (name === "..") {
      this.#replaceRootMetadata(entry);
      return;
    }
    const isWhiteout = name.startsWith(WHITEOUT_PREFIX);
    // Where a directory became a file, some tools list what was in it as removed.
    if (isWhiteout && this.#isBelowLeaf(splitComponents(path).slice(0, -1))) return;
    const target = entry.type === "hardlink" ? this.#linkTarget(entry.linkName) : undefined;
    const parent =
      components === undefined
        ? this.#parentOf(path.slice(0, Math.max(slash, 0)))
        : this.#directoryAt(components.slice(0, -1));
    if (isWhiteout) {
      this.#whiteOut(parent, name);
      return;
    }
    const node = this.#insert(parent, name, target ?? this.#node(entry, content));
    if (node.kind === "directory") this.#remember(path, node);
  }

  #replaceRootMetadata(entry: TarEntry): void {
    if (entry.type !== "directory") throw invalid(`"${display(entry.path)}" must be a directory`);
    this.#root.stat = statOf(entry);
  }

  #parentOf(path: ByteString): Directory {
    let parent = this.#known.get(path);
    if (parent === undefined) {
      parent = this.#directoryAt(splitComponents(path));
      this.#remember(path, parent);
    }
    return parent;
  }

  #remember(path: ByteString, directory: Directory): void {
    if (path.length > MAX_KNOWN_PATH) return;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(path, directory);
  }

  /** The directory, made with everything above it when it is not there. Links are not followed. */
  #directoryAt(components: readonly ByteString[]): Directory {
    if (components.length > MAX_DEPTH) throw invalid(`deeper than ${MAX_DEPTH} directories`);
    let current = this.#root;
    for (const name of components) {
      if (name === "..") throw invalid(`Invalid filename "${display(components.join("/"))}"`);
      let next = current.entries.get(name);
      if (next === undefined) {
        next = directory(defaultRootStat());
        current.entries.set(name, next);
      } else if (next.kind !== "directory") {
        throw invalid(`Directory entry "${display(name)}" is not a subdirectory`);
      }
      current = next;
    }
    return current;
  }

  /** Whether something on the way is neither a directory nor missing. */
  #isBelowLeaf(components: readonly ByteString[]): boolean {
    let current = this.#root;
    for (const name of components) {
      const next = current.entries.get(name);
      if (next?.kind !== "directory") return next !== undefined;
      current = next;
    }
    return false;
  }

  #whiteOut(parent: Directory, name: ByteString): void {
    if (name === OPAQUE_WHITEOUT) parent.entries.clear();
    else parent.entries.delete(name.slice(WHITEOUT_PREFIX.length));
    this.#known.clear();
  }

  /** @returns what the name stands for now: a directory that was there stays, with new metadata. */
  #insert(parent: Directory, name: ByteString, node: Node): Node {
    const { entries } = parent;
    const old = entries.get(name);
    if (old?.kind === "directory") {
      if (node.kind === "directory") {
        old.stat = node.stat;
        return old;
      }
      this.#known.clear();
    }
    entries.set(name, node);
    return node;
  }

  #linkTarget(path: ByteString): Leaf {
    const components = splitComponents(path);
    let node: Node = this.#root;
    for (const name of components) {
      if (name === "..") throw invalid(`hard link: Invalid filename "${display(path)}"`);
      if (node.kind !== "directory")
        throw invalid(`hard link to "${display(path)}": a part of this path is not a directory`);
      const next: Node | undefined = node.entries.get(name);
      if (next === undefined)
        throw invalid(`hard link to "${display(path)}": Directory entry "${display(name)}" does not exist`);
      node = next;
    }
    if (components.length === 0) throw invalid('hard link: Invalid filename ""');
    if (node.kind === "directory") throw invalid(`hard link to "${display(path)}", which is a directory`);
    return node;
  }

  #node(entry: TarEntry, content: LayerContent | undefined): Node {
    const stat = statOf(entry);
    return entry.type === "directory"
      ? directory(stat)
      : leaf(stat, contentOf(entry, content, this.#expandSparse));
  }
}

/**
 * What an entry holds that is neither a directory nor a hard link.
 * @throws CfsError Unsupported for a type that no tree has, Invalid for a device without number.
 */
export function contentOf(
  entry: TarEntry,
  content: LayerContent | undefined,
  expandSparse: ExpandSparse,
): Content {
  switch (entry.type) {
    case "file":
      return fileContent(entry, content!, expandSparse);
    case "symlink":
      if (entry.linkName.includes("\0")) throw invalid("the link target contains a NUL byte");
      return { type: "symlink", target: entry.linkName };
    case "char":
    case "block":
      // Headers of the v7 form have no such numbers.
      if (entry.rdev === undefined) throw invalid("Device entry without device numbers?");
      return { type: entry.type, rdev: entry.rdev };
    case "fifo":
      return { type: "fifo" };
    default:
      throw new CfsError("Unsupported", `Unsupported entry type ${typeName(entry.typeflag)}`);
  }
}

function fileContent(entry: TarEntry, content: LayerContent, expandSparse: ExpandSparse): Content {
  if (entry.sparse !== undefined) return expandSparse(entry, content);
  return content.type === "inline"
    ? { type: "inline", data: content.data }
    : { type: "external", id: content.id, size: BigInt(content.size) };
}

/** Metadata of an entry, with the mode reduced to what a tree holds. */
export function statOf(entry: TarEntry): Stat {
  return {
    mode: entry.mode & 0o7777,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    mtimeNsec: entry.mtimeNsec,
    xattrs: entry.xattrs,
  };
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  x: "XHeader",
  g: "XGlobalHeader",
  L: "GnuLongName",
  K: "GnuLongLink",
  S: "GnuSparse",
};

function typeName(typeflag: number): string {
  return TYPE_NAMES[String.fromCharCode(typeflag)] ?? `Other(${typeflag})`;
}

function splitComponents(path: ByteString): ByteString[] {
  return path === "" ? [] : path.split("/").filter((component) => component !== "" && component !== ".");
}

function invalid(message: string): CfsError {
  return new CfsError("Invalid", message);
}
