import type { ByteString } from "../bytes.ts";
import { withContext } from "../errors.ts";
import type { Algorithm } from "../verity/digest.ts";
import {
  type FormatVersion,
  METACOPY,
  OPAQUE,
  WHITEOUT_DIRECTORY_MARKERS,
  WHITEOUT_MARKERS,
  WHITEOUT_OPAQUE_MARKERS,
} from "./format.ts";
import { inodePath } from "./order.ts";
import type { ImagePlan } from "./plan.ts";
import { NONE, XattrTable } from "./xattrs.ts";

type Marker = readonly [ByteString, ByteString];

/** The xattrs of every inode of a plan, those that the format adds among them. */
export class InodeXattrs {
  readonly table: XattrTable;
  /** Size of the shared table in bytes. */
  readonly sharedSize: number;
  readonly #plan: ImagePlan;
  readonly #version: FormatVersion;
  /** By inode: numbers of the table, or NONE. */
  readonly #sets: Int32Array;
  readonly #objects: Int32Array;

  /** @throws CfsError Invalid for a name or value that no image can hold. */
  constructor(plan: ImagePlan, version: FormatVersion, algorithm: Algorithm) {
    this.table = new XattrTable(version, algorithm, plan.objectReferences);
    this.#plan = plan;
    this.#version = version;
    this.#sets = new Int32Array(plan.inodeCount).fill(NONE);
    this.#objects = new Int32Array(plan.inodeCount).fill(NONE);
    for (let i = 0; i < plan.order.length; i++) {
      const inode = plan.order[i]!;
      try {
        this.#assign(inode);
      } catch (error) {
        throw withContext(inodePath(plan, inode), error);
      }
    }
    this.sharedSize = this.table.finish();
  }

  /**
   * Bytes of an inode's xattr area.
   * @throws CfsError Invalid when there are too many.
   */
  sizeOf(inode: number): number {
    return this.table.sizeOf(this.#sets[inode]!, this.#objects[inode]!);
  }

  /** Writes an inode's xattr area at `at`. */
  write(out: Buffer, words: Uint32Array, at: number, inode: number): void {
    this.table.write(out, words, at, this.#sets[inode]!, this.#objects[inode]!);
  }

  #assign(inode: number): void {
    const { table } = this;
    const node = this.#plan.nodes[inode]!;
    const { xattrs } = node.stat;
    let set: number;
    if (node.kind === "directory") {
      const markers = this.#directoryMarkers(inode);
      set = markers.length === 0 ? table.useSet(xattrs) : table.useSetWith(xattrs, [], markers);
    } else if (this.#plan.isEscaped(inode)) {
      set = table.useSetWith(xattrs, [], WHITEOUT);
    } else if (node.content.type === "external-no-verity") {
      set = table.useSetWith(xattrs, table.plainObjectPairs(node.content.id), []);
    } else if (node.content.type === "backed") {
      set = table.useSetWith(xattrs, table.backedPairs(node.content.path, node.content.id), []);
    } else if (node.content.type === "sparse") {
      set = table.useSetWith(xattrs, [[METACOPY, ""]], []);
    } else {
      if (node.content.type === "external") this.#objects[inode] = table.useObject(node.content.id);
      set = table.useSet(xattrs);
    }
    this.#sets[inode] = set;
  }

  #directoryMarkers(inode: number): readonly Marker[] {
    const directory = this.#plan.directoryOf[inode]!;
    const isRoot = directory === 0 && this.#version !== 2;
    const escaped = this.#plan.holdEscaped[directory] === 1;
    if (!isRoot && !escaped) return NO_MARKERS;
    const markers: Marker[] = [];
    if (escaped) {
      markers.push(...empty(WHITEOUT_DIRECTORY_MARKERS));
      if (this.#version === 1) for (const name of WHITEOUT_OPAQUE_MARKERS) markers.push([name, "x"]);
    }
    if (isRoot) markers.push([OPAQUE, "y"]);
    return markers;
  }
}

function empty(names: readonly ByteString[]): Marker[] {
  return names.map((name) => [name, ""]);
}

const WHITEOUT = empty(WHITEOUT_MARKERS);
const NO_MARKERS: readonly Marker[] = [];
