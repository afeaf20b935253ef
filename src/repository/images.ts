import { type ByteString, toText } from "../bytes.ts";
import { collectObjects } from "../erofs/collect.ts";
import { COMPOSEFS_MAGIC, type FormatVersion, HEADER, MAX_IMAGE_SIZE } from "../erofs/format.ts";
import { readImage } from "../erofs/reader.ts";
import { PreparedImage } from "../erofs/writer.ts";
import { CfsError, withContext } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { pread, syncfs } from "../sys/file.ts";
import { fstat } from "../sys/stat.ts";
import type { Directory } from "../tree/model.ts";
import type { ObjectId } from "../verity/digest.ts";
import { placeLink, resolveObject } from "./links.ts";
import { baseName, entryComponents, objectTarget, REFS, refComponents } from "./names.ts";
import type { ObjectStore } from "./objects.ts";
import { listRefs, writeRef } from "./refs.ts";
import type { Repository } from "./repository.ts";

/** A row of the list of images. */
export interface ImageRef {
  readonly name: string;
  /** Last component of the link's target: the digest, if all is well. */
  readonly digest: string;
}

/** An open image; its digest has been checked where the kernel can. */
export interface OpenImage extends Disposable {
  readonly id: ObjectId;
  readonly file: Fd;
}

/**
 * Object of an image named by its digest in hex, as `refs/NAME`, or, when without '/', by a ref's name.
 * @throws CfsError NotFound; Invalid when a link `images/HEX` points to another digest than its name says
 */
export function lookUpImage(repository: Repository, name: string): ObjectId {
  const components = entryComponents(name, "images");
  const find = (path: ByteString[]) => resolveObject(repository.dir, path, repository.algorithm);
  const direct = find(["images", ...components]);
  if (direct !== undefined) {
    if (components.length === 1 && repository.secure && components[0] !== direct) {
      throw new CfsError("Corrupt", `images/${name} points to another image than its name says`, {
        hint: "remove this link and create the image again",
      });
    }
    return direct;
  }
  const byRef = components.length === 1 ? find(["images", REFS, components[0]!]) : undefined;
  if (byRef !== undefined) return byRef;
  throw new CfsError("NotFound", `image not found: ${name}`, {
    hint: "`cfsctl images` lists the refs; use refs/NAME for one with '/'",
  });
}

export function openImage(repository: Repository, name: string): OpenImage {
  const id = lookUpImage(repository, name);
  try {
    const file = repository.objects.open(id);
    return { id, file, [Symbol.dispose]: () => file.close() };
  } catch (error) {
    throw withContext(`image '${name}'`, error);
  }
}

/** The bytes of an open image. @throws CfsError Corrupt when it is unreasonably large */
export function readImageFile(file: Fd): Uint8Array<ArrayBuffer> {
  const { size } = fstat(file);
  if (size > MAX_IMAGE_SIZE) {
    throw new CfsError("Corrupt", `${file.path}: ${size} bytes are too many for an image`);
  }
  const bytes = new Uint8Array(size);
  const length = pread(file.fd, bytes, 0, file.path);
  if (length !== size) throw new CfsError("Corrupt", `${file.path} ends unexpectedly`);
  return bytes;
}

/** Whether an object is there and begins as an EROFS image does. */
export function isImageObject({ objects }: Repository, id: ObjectId): boolean {
  try {
    using file = objects.open(id);
    const magic = Buffer.alloc(4);
    return pread(file.fd, magic, HEADER.magic, file.path) === 4 && magic.readUInt32LE(0) === COMPOSEFS_MAGIC;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

/** The objects that an image refers to, each once, sorted. */
export function imageObjects(repository: Repository, name: string): ObjectId[] {
  using image = openImage(repository, name);
  try {
    return collectObjects(readImageFile(image.file), repository.algorithm);
  } catch (error) {
    throw withContext(`image '${name}'`, error);
  }
}

/**
 * The tree of an image.
 * @throws CfsError NotFound; Corrupt, naming the image.
 */
export function readImageTree(repository: Repository, name: string): Directory {
  using image = openImage(repository, name);
  try {
    return readImage(readImageFile(image.file), repository.algorithm).root;
  } catch (error) {
    throw withContext(`image '${name}'`, error);
  }
}

/** Stores the image of a tree, which is never in memory as a whole. Throws as `PreparedImage` does. */
export function storeImage(
  { objects, algorithm, erofsVersion }: Repository,
  root: Directory,
  version: FormatVersion = erofsVersion,
): ObjectId {
  return storePrepared(objects, new PreparedImage(root, version, algorithm));
}

/** The same when the image is one of those that are wanted. @returns undefined when it is not */
export function storeImageIf(
  { objects, algorithm }: Repository,
  root: Directory,
  version: FormatVersion,
  isWanted: (id: ObjectId) => boolean,
): ObjectId | undefined {
  const image = new PreparedImage(root, version, algorithm);
  return isWanted(image.digest()) ? storePrepared(objects, image) : undefined;
}

function storePrepared(objects: ObjectStore, image: PreparedImage): ObjectId {
  return objects.storeStream((write) => image.write(write), "verified").id;
}

/** Links an image object that is stored, after waiting until it is on disk. */
export function linkImage(repository: Repository, id: ObjectId, ref?: string): void {
  if (ref !== undefined) refComponents(ref);
  repository.ensureWritable();
  syncfs(repository.dir);
  placeLink(repository.dir, ["images", id], objectTarget(id));
  if (ref !== undefined) writeRef(repository, "images", ref, id);
}

/**
 * Stores and links an image. What is no valid EROFS image is refused before anything is stored.
 * @param bytes the whole image.
 */
export function importImage(repository: Repository, bytes: Uint8Array, ref?: string): ObjectId {
  if (ref !== undefined) refComponents(ref);
  repository.ensureWritable();
  try {
    readImage(bytes, repository.algorithm);
  } catch (error) {
    throw withContext("not a composefs image", error);
  }
  const { id } = repository.objects.storeBytes(bytes);
  linkImage(repository, id, ref);
  return id;
}

/** The refs of images, sorted by name; names that are not UTF-8 are left out. */
export function listImages(repository: Repository): ImageRef[] {
  return listRefs(repository, "images").flatMap(({ name, target }) => {
    const text = toText(name);
    const digest = toText(baseName(target) ?? target);
    return text === undefined || digest === undefined ? [] : [{ name: text, digest }];
  });
}
