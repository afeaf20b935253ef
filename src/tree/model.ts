import type { ByteString } from "../bytes.ts";
import type { ObjectId } from "../verity/digest.ts";

/** Extended attributes: full name → value. */
export type Xattrs = ReadonlyMap<ByteString, ByteString>;

export const NO_XATTRS: Xattrs = new Map();

/** Metadata of a node, without its type and link count, which follow from the tree. */
export interface Stat {
  /** Permission bits, 0…0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds, signed 64-bit. */
  mtime: bigint;
  /** 0…999 999 999. */
  mtimeNsec: number;
  xattrs: Xattrs;
}

export type Content =
  | { readonly type: "inline"; readonly data: ByteString }
  /** Data in an object whose digest the kernel enforces. `size` in bytes, unsigned 64-bit. */
  | { readonly type: "external"; readonly id: ObjectId; readonly size: bigint }
  /** Data in an object whose digest is not enforced. */
  | { readonly type: "external-no-verity"; readonly id: ObjectId; readonly size: bigint }
  /**
   * Data in a file of any path below the directory of objects, with or without an enforced digest. Images that are made
   * without a repository can name such files.
   */
  | {
      readonly type: "backed";
      readonly path: ByteString;
      readonly id: ObjectId | undefined;
      readonly size: bigint;
    }
  /** A declared size without data. */
  | { readonly type: "sparse"; readonly size: bigint }
  | { readonly type: "symlink"; readonly target: ByteString }
  | { readonly type: "char"; readonly rdev: bigint }
  | { readonly type: "block"; readonly rdev: bigint }
  | { readonly type: "fifo" }
  | { readonly type: "socket" };

/** Anything but a directory. Two entries that hold the same Leaf object are hard links. */
export class Leaf {
  readonly kind: "leaf";
  stat: Stat;
  content: Content;
  #index: number;

  constructor(stat: Stat, content: Content) {
    this.kind = "leaf";
    this.stat = stat;
    this.content = content;
    this.#index = 0;
  }

  /** Puts it into a list, and remembers where, in place of where it was put before. */
  placeIn(list: unknown[], index: number): void {
    list[index] = this;
    this.#index = index;
  }

  /**
   * Where `placeIn` has put it in this list; -1 when it is not there. Nothing is looked up: numbering the files of a tree
   * takes no table, whatever the files are.
   */
  indexIn(list: readonly unknown[]): number {
    return list[this.#index] === this ? this.#index : -1;
  }
}

/** Name → node, in any order; writers sort by name bytes. A map, or what takes less memory than one. */
export interface Entries extends Iterable<[ByteString, Node]> {
  readonly size: number;
  get(name: ByteString): Node | undefined;
  has(name: ByteString): boolean;
  set(name: ByteString, node: Node): void;
  delete(name: ByteString): boolean;
  clear(): void;
  forEach(visit: (node: Node, name: ByteString) => void): void;
  keys(): Iterable<ByteString>;
  values(): Iterable<Node>;
}

export interface Directory {
  readonly kind: "directory";
  stat: Stat;
  entries: Entries;
}

export type Node = Directory | Leaf;

export function directory(stat: Stat): Directory {
  return { kind: "directory", stat, entries: new Map() };
}

export function leaf(stat: Stat, content: Content): Leaf {
  return new Leaf(stat, content);
}

/** Files up to this size are kept inside images and splitstreams. */
export const INLINE_LIMIT = 64;
