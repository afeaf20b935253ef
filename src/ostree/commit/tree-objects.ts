import { type ByteString, byteString, bytesOf, display } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import type { Content, Directory, Leaf } from "../../tree/model.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { type Checksum, computeChecksum } from "../checksum.ts";
import type { CommitStreamWriter } from "../commit-stream-writer.ts";
import { encodeArchiveHeader, encodeHashedHeader, FileHasher, type FileHeader } from "../file-header.ts";
import { type DirectoryEntry, encodeDirMeta, encodeDirTree, type FileEntry } from "../objects.ts";
import { inlineLimit } from "../pull/file-storer.ts";
import { type ChecksumOptions, FileChecksums } from "./checksum-files.ts";
import { directoryMeta, fileHeader, type MetadataRules, symlinkHeader } from "./metadata.ts";

/** The checksums of a tree that has become objects. */
export interface RootObjects {
  readonly rootTree: Checksum;
  readonly rootMeta: Checksum;
}

/**
 * Makes the objects of a tree: dirtrees, dirmetas and files.
 * @param root files above 64 bytes are in the object store.
 * @param objects gets them.
 * @param options with `consume`, the tree is taken apart on the way: for who needs the memory and not the tree.
 * @throws CfsError Unsupported, with the path, for what can't be in a commit: devices, fifos, sockets, names and
 *   targets that are not UTF-8.
 */
export async function addTree(
  root: Directory,
  store: ObjectStore,
  objects: CommitStreamWriter,
  rules: MetadataRules,
  options: ChecksumOptions & { readonly consume: boolean },
): Promise<RootObjects> {
  const tree = new TreeObjects(store, objects, rules, options.consume);
  // Reading the tree and looking at its files leaves much behind that nobody needs.
  const isLarge = tree.addFiles(root, "") > MANY_FILES;
  if (isLarge) Bun.gc(true);
  await tree.finishFiles(options);
  if (isLarge) Bun.gc(true);
  const { tree: rootTree, meta: rootMeta } = tree.addDirectory(root, "");
  return { rootTree, rootMeta };
}

const MANY_FILES = 5000;

/** A file whose checksum takes reading an object. */
interface PendingFile {
  readonly number: number;
  readonly data: Uint8Array;
  readonly object: ObjectId;
}

class TreeObjects {
  readonly #store: ObjectStore;
  readonly #objects: CommitStreamWriter;
  readonly #rules: MetadataRules;
  readonly #consume: boolean;
  readonly #inlineLimit: number;
  readonly #checksums: FileChecksums;
  readonly #files = new Map<Leaf, Checksum | PendingFile>();
  /** By the object and the header: many files are there more than once. */
  readonly #pending = new Map<string, PendingFile>();
  readonly #metas = new Map<string, Checksum>();

  constructor(store: ObjectStore, objects: CommitStreamWriter, rules: MetadataRules, consume: boolean) {
    this.#store = store;
    this.#objects = objects;
    this.#rules = rules;
    this.#consume = consume;
    this.#inlineLimit = inlineLimit(store.algorithm);
    this.#checksums = new FileChecksums(store.handle);
  }

  /** Everything but directories. @returns how many there are so far. */
  addFiles(directory: Directory, path: ByteString): number {
    for (const [name, node] of directory.entries) {
      const child = `${path}/${name}`;
      if (node.kind === "directory") this.addFiles(node, child);
      else if (!this.#files.has(node))
        this.#files.set(
          node,
          at(child, () => this.#file(node)),
        );
    }
    return this.#files.size;
  }

  async finishFiles(options: ChecksumOptions): Promise<void> {
    const checksumOf = await this.#checksums.compute(options);
    for (const { number, data, object } of this.#pending.values())
      this.#objects.add(checksumOf(number), data, object);
    for (const [file, found] of this.#files)
      if (typeof found !== "string") this.#files.set(file, checksumOf(found.number));
    this.#pending.clear();
  }

  addDirectory(directory: Directory, path: ByteString): { tree: Checksum; meta: Checksum } {
    const files: FileEntry[] = [];
    const directories: DirectoryEntry[] = [];
    for (const [name, node] of directory.entries) {
      if (node.kind === "directory")
        directories.push({ name, ...this.addDirectory(node, `${path}/${name}`) });
      else files.push({ name, file: this.#files.get(node) as Checksum });
    }
    if (this.#consume) directory.entries.clear();
    return at(path === "" ? "/" : path, () => ({
      tree: this.#add(encodeDirTree({ files, directories })),
      meta: this.#meta(directory),
    }));
  }

  #meta({ stat }: Directory): Checksum {
    const bytes = encodeDirMeta(directoryMeta(stat, this.#rules));
    const key = byteString(bytes);
    let checksum = this.#metas.get(key);
    if (checksum === undefined) {
      checksum = this.#add(bytes);
      this.#metas.set(key, checksum);
    }
    return checksum;
  }

  #add(bytes: Uint8Array): Checksum {
    const checksum = computeChecksum(bytes);
    this.#objects.add(checksum, compact(bytes));
    return checksum;
  }

  #file({ stat, content }: Leaf): Checksum | PendingFile {
    switch (content.type) {
      case "symlink": {
        const header = symlinkHeader(stat, content.target, this.#rules);
        return this.#inMemory(header, new Uint8Array(0));
      }
      case "inline":
        return this.#inMemory(fileHeader(stat, this.#rules), bytesOf(content.data));
      case "external":
      case "external-no-verity": {
        const { id } = content;
        const size = sizeOf(content);
        const header = fileHeader(stat, this.#rules);
        if (size <= this.#inlineLimit) return this.#inMemory(header, this.#read(id, size));
        return this.#external(header, id, size);
      }
    }
    throw unsupported(content);
  }

  #read(id: ObjectId, size: number): Uint8Array {
    const bytes = this.#store.read(id, this.#inlineLimit);
    if (bytes.length === size) return bytes;
    throw new CfsError("Corrupt", `its object has ${bytes.length} bytes instead of ${size}`);
  }

  #inMemory(header: FileHeader, content: Uint8Array): Checksum {
    const hasher = new FileHasher(header);
    hasher.update(content);
    const checksum = hasher.digest();
    const prefixed = encodeArchiveHeader(header, content.length);
    if (content.length > this.#inlineLimit)
      this.#objects.add(checksum, compact(prefixed), this.#store.storeBytes(content).id);
    else this.#objects.add(checksum, compact(Buffer.concat([prefixed, content])));
    return checksum;
  }

  #external(header: FileHeader, object: ObjectId, size: number): PendingFile {
    const hashed = byteString(encodeHashedHeader(header));
    const key = object + hashed;
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      const number = this.#checksums.add(hashed, object, size);
      pending = { number, data: compact(encodeArchiveHeader(header, size)), object };
      this.#pending.set(key, pending);
    }
    return pending;
  }
}

/**
 * The same bytes, to be kept: an array that nobody has asked for its buffer takes a third of the memory of one that has
 * been worked on, and there are very many.
 */
function compact(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function sizeOf({ size }: { readonly size: bigint }): number {
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new CfsError("Corrupt", `${size} bytes are impossible`);
  return Number(size);
}

const KINDS: Readonly<Record<string, string>> = {
  char: "a character device",
  block: "a block device",
  fifo: "a fifo",
  socket: "a socket",
};

function unsupported({ type }: Content): CfsError {
  if (type === "sparse")
    return new CfsError("Unsupported", "Sparse files not supported in ostree commit", {
      hint: "the image says how large the file is, but has no content for it",
    });
  return new CfsError("Unsupported", `${KINDS[type]} can't be in an ostree commit`, {
    hint: "leave it out of the tree: commits hold regular files, symbolic links and directories",
  });
}

function at<T>(path: ByteString, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw withContext(display(path), error);
  }
}
