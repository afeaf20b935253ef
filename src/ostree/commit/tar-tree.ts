import { type ByteString, byteString, display } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import type { Progress } from "../../progress.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import type { Fd } from "../../sys/fd.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { TarParser } from "../../tar/parser.ts";
import {
  type Content,
  type Directory,
  directory,
  INLINE_LIMIT,
  type Leaf,
  leaf,
  type Node,
  type Stat,
} from "../../tree/model.ts";
import { lookup } from "../../tree/walk.ts";
import { storeSparse } from "./store-sparse.ts";
import { Body, TarInput } from "./tar-input.ts";

/** Files up to this size are gathered before they are stored. */
const GATHERED = 1024 * 1024;
const MAX_DEPTH = 1024;

/**
 * The tree of a tar archive, plain or compressed with gzip or zstd: each entry where its name says, later ones in the
 * place of earlier ones. Names have no special meaning (whiteouts of container layers are ordinary files).
 * Directories that no entry describes belong to root, with mode 0755.
 * @param file read from its present position to the end; a pipe will do.
 * @param store gets the files above 64 bytes.
 * @throws CfsError Invalid, Corrupt, naming the entry
 */
export function readTarTree(file: Fd, store: ObjectStore, progress: Progress): Directory {
  const input = new TarInput(file, progress);
  try {
    const tree = new TarTree(store, input);
    tree.read();
    input.finish();
    return tree.root;
  } catch (error) {
    throw withContext(file.path, error);
  } finally {
    input.close();
  }
}

class TarTree {
  readonly root = directory(impliedStat());
  readonly #store: ObjectStore;
  readonly #input: TarInput;
  readonly #gathered = new Uint8Array(GATHERED);

  constructor(store: ObjectStore, input: TarInput) {
    this.#store = store;
    this.#input = input;
  }

  read(): void {
    const input = this.#input;
    const parser = new TarParser();
    for (;;) {
      const step = parser.step(input.window, input.start, input.end, input.atEnd);
      switch (step.kind) {
        case "more":
          input.fill();
          break;
        case "end":
          return;
        case "inline":
          input.skip(step.length);
          break;
        case "entry": {
          input.skip(step.headerLength);
          const { entry, size, padding } = step;
          const path = entry.path;
          const body = new Body(input, size);
          try {
            this.#add(entry, body);
          } catch (error) {
            throw withContext(`entry ${display(path)}`, error);
          }
          body.skipRest();
          input.skip(padding);
        }
      }
    }
  }

  #add(entry: TarEntry, body: Body): void {
    const components = componentsOf(entry.path);
    const name = components.pop();
    const stat = statOf(entry);
    if (name === undefined) {
      if (entry.type !== "directory") throw new CfsError("Invalid", "the root must be a directory");
      this.root.stat = stat;
      return;
    }
    const { entries } = this.#directoryAt(components);
    const old = entries.get(name);
    if (entry.type === "directory" && old?.kind === "directory") old.stat = stat;
    else entries.set(name, this.#node(entry, stat, body));
  }

  #directoryAt(components: readonly ByteString[]): Directory {
    if (components.length > MAX_DEPTH)
      throw new CfsError("Unsupported", `nested in more than ${MAX_DEPTH} directories`);
    let current = this.root;
    for (const name of components) {
      let next = current.entries.get(name);
      if (next === undefined) {
        next = directory(impliedStat());
        current.entries.set(name, next);
      }
      if (next.kind !== "directory")
        throw new CfsError("Invalid", `'${display(name)}' on the way to it is no directory`);
      current = next;
    }
    return current;
  }

  #node(entry: TarEntry, stat: Stat, body: Body): Node {
    switch (entry.type) {
      case "directory":
        return directory(stat);
      case "hardlink":
        return this.#linked(entry.linkName);
      case "symlink":
        return leaf(stat, { type: "symlink", target: entry.linkName });
      case "file":
        return leaf(stat, this.#content(entry, body));
      default:
        throw new CfsError(
          "Unsupported",
          "only regular files, links and directories can be in an ostree commit",
          { hint: "leave it out of the archive" },
        );
    }
  }

  #linked(target: ByteString): Leaf {
    const node = lookup(this.root, componentsOf(target).join("/"));
    if (node.kind === "leaf") return node;
    throw new CfsError("Invalid", `a hard link to '${display(target)}', which is a directory`);
  }

  #content(entry: TarEntry, body: Body): Content {
    if (entry.sparse !== undefined) return storeSparse(entry.sparse, body, this.#store);
    const { size } = body;
    if (size > GATHERED) {
      const { id } = this.#store.storeStream((write) => {
        for (let piece = body.next(); piece.length > 0; piece = body.next()) write(piece);
      });
      return { type: "external", id, size: BigInt(size) };
    }
    const bytes = this.#gathered.subarray(0, size);
    body.fill(bytes);
    if (size <= INLINE_LIMIT) return { type: "inline", data: byteString(bytes) };
    return { type: "external", id: this.#store.storeBytes(bytes).id, size: BigInt(size) };
  }
}

function impliedStat(): Stat {
  return { mode: 0o755, uid: 0, gid: 0, mtime: 0n, mtimeNsec: 0, xattrs: new Map() };
}

function statOf({ mode, uid, gid, mtime, mtimeNsec, xattrs }: TarEntry): Stat {
  return { mode: mode & 0o7777, uid, gid, mtime, mtimeNsec, xattrs };
}

function componentsOf(path: ByteString): ByteString[] {
  const components = path.split("/").filter((c) => c !== "" && c !== ".");
  if (components.includes("..")) throw new CfsError("Invalid", "its path leads upwards with '..'");
  if (path.includes("\0")) throw new CfsError("Invalid", "its path has a NUL inside");
  return components;
}
