import type { ByteString } from "../bytes.ts";
import type { Leaf } from "../tree/model.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import type { FileVersion } from "./unchanged-file.ts";

/** Files of one directory, as many as a thread takes on at a time. */
export interface FileGroup {
  /** The directory, relative to the root; empty for it. */
  readonly path: ByteString;
  /** Number of the first file. */
  readonly first: number;
  readonly names: ByteString[];
}

/** A group is closed when it has this much to read, or this many files. */
const GROUP_BYTES = 4 * 1024 * 1024;
const GROUP_FILES = 128;

/** device, inode, size, seconds, nanoseconds */
const VERSION_FIELDS = 5;

/** The regular files of a tree that are to be hashed, numbered in the order in which they were found. */
export class FileList {
  /** What stands before the paths in messages. */
  readonly label: string;
  readonly groups: FileGroup[] = [];
  readonly #leaves: Leaf[] = [];
  readonly #versions: number[] = [];
  #totalBytes = 0;
  #directory: ByteString = "";
  #group: FileGroup | undefined;
  #groupBytes = 0;

  constructor(label: string) {
    this.label = label;
  }

  get length(): number {
    return this.#leaves.length;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** The files that are added next are in this directory. */
  enter(path: ByteString): void {
    this.#directory = path;
    this.#group = undefined;
  }

  add(name: ByteString, version: FileVersion, leaf: Leaf): void {
    if (
      this.#group === undefined ||
      this.#groupBytes >= GROUP_BYTES ||
      this.#group.names.length >= GROUP_FILES
    ) {
      this.#group = { path: this.#directory, first: this.#leaves.length, names: [] };
      this.#groupBytes = 0;
      this.groups.push(this.#group);
    }
    const { device, inode, size, mtime, mtimeNsec } = version;
    this.#group.names.push(name);
    this.#groupBytes += size;
    this.#totalBytes += size;
    this.#leaves.push(leaf);
    this.#versions.push(device, inode, size, mtime, mtimeNsec);
  }

  /** For `versionAt`, in memory that threads share. */
  sharedVersions(): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(this.#versions.length * 8);
    new Float64Array(shared).set(this.#versions);
    return shared;
  }

  /** Makes the leaves files in the object store. @param digests one after the other, by the files' numbers. */
  setDigests(digests: Buffer, { size }: Algorithm): void {
    for (const [i, leaf] of this.#leaves.entries()) {
      const id = digests.hexSlice(i * size, (i + 1) * size) as ObjectId;
      leaf.content = { type: "external", id, size: BigInt(this.#versions[i * VERSION_FIELDS + 2]!) };
    }
  }
}

/** What is known about the file of a number. */
export function versionAt(versions: Float64Array, index: number): FileVersion {
  const at = index * VERSION_FIELDS;
  return {
    device: versions[at]!,
    inode: versions[at + 1]!,
    size: versions[at + 2]!,
    mtime: versions[at + 3]!,
    mtimeNsec: versions[at + 4]!,
  };
}
