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
  /** Of the files, with slashes between them: there may be a million, and all threads are given them. */
  readonly names: ByteString;
}

/** A group is closed when it has this much to read, or this many files. */
const GROUP_BYTES = 4 * 1024 * 1024;
const GROUP_FILES = 128;

const PIECE_FILES = 8192;

/** device, inode, size, seconds, nanoseconds */
const VERSION_FIELDS = 5;

/** The regular files of a tree that are to be hashed, numbered in the order in which they were found. */
export class FileList {
  /** What stands before the paths in messages. */
  readonly label: string;
  readonly groups: FileGroup[] = [];
  readonly #leaves: Leaf[] = [];
  /** In pieces of `PIECE_FILES` files, until all are known. */
  #pieces: Float64Array[] = [];
  #shared: SharedArrayBuffer | undefined;
  #totalBytes = 0;
  #directory: ByteString = "";
  /** Of the files in the group that is not closed yet. */
  #names: ByteString[] = [];
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
    this.#closeGroup();
    this.#directory = path;
  }

  add(name: ByteString, version: FileVersion, leaf: Leaf): void {
    const index = this.#leaves.length;
    if (this.#groupBytes >= GROUP_BYTES || this.#names.length >= GROUP_FILES) this.#closeGroup();
    this.#names.push(name);
    this.#groupBytes += version.size;
    this.#totalBytes += version.size;
    this.#leaves.push(leaf);
    if (index % PIECE_FILES === 0) this.#pieces.push(new Float64Array(PIECE_FILES * VERSION_FIELDS));
    const piece = this.#pieces[this.#pieces.length - 1]!;
    const at = (index % PIECE_FILES) * VERSION_FIELDS;
    piece[at] = version.device;
    piece[at + 1] = version.inode;
    piece[at + 2] = version.size;
    piece[at + 3] = version.mtime;
    piece[at + 4] = version.mtimeNsec;
  }

  /** To be called when all files have been added. @returns for `versionAt`, in memory that threads share. */
  finish(): SharedArrayBuffer {
    this.#closeGroup();
    this.#shared ??= this.#share();
    return this.#shared;
  }

  #closeGroup(): void {
    if (this.#names.length === 0) return;
    const first = this.length - this.#names.length;
    this.groups.push({ path: this.#directory, first, names: this.#names.join("/") });
    this.#names = [];
    this.#groupBytes = 0;
  }

  #share(): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(this.length * VERSION_FIELDS * 8);
    const versions = new Float64Array(shared);
    for (const [i, piece] of this.#pieces.entries()) {
      const at = i * PIECE_FILES * VERSION_FIELDS;
      versions.set(piece.subarray(0, versions.length - at), at);
    }
    this.#pieces = [];
    return shared;
  }

  /** Makes the leaves files in the object store. @param digests one after the other, by the files' numbers. */
  setDigests(digests: Buffer, { size }: Algorithm): void {
    const versions = new Float64Array(this.finish());
    for (const [i, leaf] of this.#leaves.entries()) {
      const id = digests.hexSlice(i * size, (i + 1) * size) as ObjectId;
      leaf.content = { type: "external", id, size: BigInt(versions[i * VERSION_FIELDS + 2]!) };
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
