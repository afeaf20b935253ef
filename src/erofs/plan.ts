import type { Directory, Leaf, Node } from "../tree/model.ts";
import { BLOCK_SIZE, DIRENT_SIZE, FT_DIRECTORY, FT_REGULAR } from "./format.ts";
import { NameColumn } from "./name-column.ts";

/** Upper bounds, which the columns of a plan are made for. */
export interface PlanSize {
  readonly inodes: number;
  readonly directories: number;
  /** Directory entries, `.` and `..` among them. */
  readonly entries: number;
}

/**
 * The inodes, directories and directory entries of an image, each numbered from 0 in breadth-first order of first
 * sight. Columns instead of objects: an image may have a million inodes, and an object for each would take more than
 * its 150 to 200 bytes in the image; columns take 22 for an inode, 9 and its name for an entry, and 21 more for a directory.
 */
export class ImagePlan {
  /** By inode. */
  readonly nodes: Node[];
  /** As in directory entries. */
  readonly fileTypes: Uint8Array;
  readonly linkCounts: Uint32Array;
  /** The directory that an inode is; only for those of type FT_DIRECTORY. */
  readonly directoryOf: Int32Array;
  /** Inodes in the order of the image. */
  order: Int32Array;
  /** Files whose data is an object. */
  objectReferences = 0;
  inodeCount = 0;

  /** By directory: its inode. */
  readonly inodeOf: Int32Array;
  /** The directory that holds it. */
  readonly parents: Int32Array;
  /** First entry of each directory, and behind the last one the number of all entries. */
  readonly firstEntries: Int32Array;
  /** 1 for a directory with escaped whiteouts. */
  readonly holdEscaped: Uint8Array;
  /** How many blocks the first entries fill; the rest is the tail. */
  readonly blocks: Int32Array;
  /** Bytes of the tail. */
  readonly tails: Int32Array;
  directoryCount = 0;

  /** By entry, in the order of their names. */
  readonly names: NameColumn;
  /** The entry's inode. */
  readonly children: Int32Array;

  constructor(size: PlanSize) {
    // Arrays that grow by pushing leave twice their size behind.
    this.nodes = new Array(size.inodes);
    this.names = new NameColumn(size.entries);
    this.fileTypes = new Uint8Array(size.inodes);
    this.linkCounts = new Uint32Array(size.inodes);
    this.directoryOf = new Int32Array(size.inodes);
    this.order = new Int32Array(0);
    this.inodeOf = new Int32Array(size.directories);
    this.parents = new Int32Array(size.directories);
    this.firstEntries = new Int32Array(size.directories + 1);
    this.holdEscaped = new Uint8Array(size.directories);
    this.blocks = new Int32Array(size.directories);
    this.tails = new Int32Array(size.directories);
    this.children = new Int32Array(size.entries);
  }

  /** @returns the number of its inode, which it knows as its index in `nodes`. */
  addLeaf(leaf: Leaf, fileType: number): number {
    const inode = this.inodeCount++;
    leaf.placeIn(this.nodes, inode);
    this.fileTypes[inode] = fileType;
    return inode;
  }

  /** @returns the number of its inode. */
  addDirectory(directory: Directory): number {
    const inode = this.inodeCount++;
    this.nodes[inode] = directory;
    this.fileTypes[inode] = FT_DIRECTORY;
    return inode;
  }

  /** Whether a leaf is a whiteout that is written as an empty file with markers. */
  isEscaped(inode: number): boolean {
    return this.fileTypes[inode] === FT_REGULAR && (this.nodes[inode] as Leaf).content.type === "char";
  }

  /** The entry behind the last one that fits a block which begins with `start`. */
  blockEnd(start: number, end: number): number {
    let used = 0;
    let entry = start;
    while (entry < end) {
      used += DIRENT_SIZE + this.names.lengthOf(entry);
      if (used > BLOCK_SIZE) break;
      entry++;
    }
    return entry;
  }
}
