import { type ByteString, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../mode.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { LAYOUT_CHUNKED, MAX_IMAGE_SIZE } from "./format.ts";
import { ErofsImage, type RawInode } from "./image.ts";

/** What a regular file holds. */
export type FoundContent =
  | { readonly type: "object"; readonly id: ObjectId; readonly size: number }
  | { readonly type: "inline"; readonly data: ByteString };

/** As many names of directories are remembered; bounds the memory. */
const MAX_REMEMBERED = 65_536;

/** Finds regular files of an image by their path, reading no more of it than the directories on the way. */
export class FileFinder {
  readonly #image: ErofsImage;
  readonly #algorithm: Algorithm;
  /** Names of directories that were read, by the number of their inode. */
  readonly #directories = new Map<number, ReadonlyMap<ByteString, number>>();
  #remembered = 0;

  /** @param bytes the whole image; may be shared memory. @throws CfsError Corrupt */
  constructor(bytes: Uint8Array<ArrayBufferLike>, algorithm: Algorithm) {
    this.#image = new ErofsImage(bytes, MAX_IMAGE_SIZE, Number.POSITIVE_INFINITY);
    this.#algorithm = algorithm;
  }

  /**
   * Looks a path up. Slashes at its ends, empty components and inner `.` mean nothing, and links are not followed.
   * @throws CfsError NotFound for what is no regular file; Invalid for a path with `..`, or with `.` in front; Corrupt
   */
  find(path: ByteString): FoundContent {
    const components = path.split("/").filter((name) => name !== "");
    const isRelative = components[0] === "." && !path.startsWith("/");
    if (components.length === 0 || isRelative || components.includes(".."))
      throw new CfsError("Invalid", `"${display(path)}" is no path of a file`);
    let inode = this.#image.inode(this.#image.rootNid);
    for (const name of components) {
      if (name === ".") continue;
      if (!isOfType(inode, S_IFDIR)) throw notFound(path, `it is in no directory`);
      const nid = this.#names(inode).get(name);
      if (nid === undefined) throw notFound(path, "there is no such file");
      inode = this.#image.inode(nid);
    }
    if (!isOfType(inode, S_IFREG)) throw notFound(path, "it is not a regular file");
    return this.#content(inode, path);
  }

  #names(directory: RawInode): ReadonlyMap<ByteString, number> {
    const known = this.#directories.get(directory.nid);
    if (known !== undefined) return known;
    const names = new Map<ByteString, number>();
    for (const { name, nid } of this.#image.dirents(directory)) {
      if (name !== "." && name !== "..") names.set(name, nid);
    }
    if (this.#remembered + names.size > MAX_REMEMBERED) {
      this.#directories.clear();
      this.#remembered = 0;
    }
    this.#directories.set(directory.nid, names);
    this.#remembered += names.size;
    return names;
  }

  #content(inode: RawInode, path: ByteString): FoundContent {
    const image = this.#image;
    let id: ObjectId | undefined;
    image.xattrs(inode, (entry) => {
      const kind = image.overlayKind(entry);
      if (kind === "metacopy") id = image.metacopy(entry, this.#algorithm) ?? id;
      else if (kind === "redirect") id ??= image.redirect(entry, this.#algorithm);
    });
    if (id !== undefined) return { type: "object", id, size: inode.size };
    if (inode.layout === LAYOUT_CHUNKED) throw notFound(path, "it has no content, only a size");
    return { type: "inline", data: image.data(inode) };
  }
}

function isOfType(inode: RawInode, type: number): boolean {
  return (inode.mode & S_IFMT) === type;
}

function notFound(path: ByteString, why: string): CfsError {
  return new CfsError("NotFound", `${display(path)} of the source image: ${why}`);
}
