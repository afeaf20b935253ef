import { type ByteString, display } from "../bytes.ts";
import { collectObjects } from "../erofs/collect.ts";
import { describeError, withContext } from "../errors.ts";
import {
  DT_BLK,
  DT_CHR,
  DT_DIR,
  DT_FIFO,
  DT_LNK,
  DT_REG,
  DT_SOCK,
  listDirectory,
  openDirectory,
} from "../sys/dir.ts";
import { ENOENT, errnoText, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { O_DIRECTORY, O_RDONLY, openat, tryAccessat } from "../sys/file.ts";
import { type ObjectId, objectPath } from "../verity/digest.ts";
import { checkImageBytes, checkStreamContent } from "./fsck-deep.ts";
import { checkAllObjects } from "./fsck-objects.ts";
import { readImageFile } from "./images.ts";
import { resolveObject } from "./links.ts";
import { META_NAME } from "./meta.ts";
import { readMetaFile } from "./meta-file.ts";
import { type Category, REFS } from "./names.ts";
import { MAX_ENTRIES, openCategory, walkRefs } from "./refs.ts";
import type { Repository } from "./repository.ts";
import { openStreamObject } from "./streams.ts";

export interface FsckOptions {
  /** Leave out the objects' content. */
  readonly metadataOnly?: boolean;
  /** Also rebuild every stream, and compare every image with what writing its tree gives. */
  readonly deep?: boolean;
  /** Threads that hash. */
  readonly jobs?: number;
}

/** What a check found. */
export interface FsckReport {
  hasMetadata: boolean;
  metadataOk: boolean;
  objectsChecked: number;
  objectsCorrupted: number;
  streamsChecked: number;
  streamsCorrupted: number;
  imagesChecked: number;
  imagesCorrupted: number;
  brokenLinks: number;
  missingObjects: number;
  /** Lines `kind: path: detail`; those about objects, streams and images, each sorted. */
  errors: string[];
  /** Why streams could not be opened, which the lines above do not say. */
  causes: string[];
  /** Objects that are damaged or missing. */
  badObjects: Set<ObjectId>;
}

/** Checks that everything in a repository is what it claims to be. Changes nothing. */
export async function checkRepository(
  repository: Repository,
  options: FsckOptions = {},
): Promise<FsckReport> {
  const check = new Check(repository, options.deep ?? false);
  check.metadata();
  if (!options.metadataOnly) await check.objects(options.jobs ?? 1);
  check.category("streams");
  check.category("images");
  return check.report;
}

class Check {
  readonly report: FsckReport = {
    hasMetadata: false,
    metadataOk: true,
    objectsChecked: 0,
    objectsCorrupted: 0,
    streamsChecked: 0,
    streamsCorrupted: 0,
    imagesChecked: 0,
    imagesCorrupted: 0,
    brokenLinks: 0,
    missingObjects: 0,
    errors: [],
    causes: [],
    badObjects: new Set(),
  };
  readonly #repository: Repository;
  readonly #deep: boolean;
  /** Objects known to be there: many streams and images share theirs. */
  readonly #present = new Set<ObjectId>();

  constructor(repository: Repository, deep: boolean) {
    this.#repository = repository;
    this.#deep = deep;
  }

  metadata(): void {
    const { report } = this;
    const { algorithm } = this.#repository;
    try {
      const file = readMetaFile(this.#repository.dir);
      report.hasMetadata = file !== undefined;
      if (file === undefined || file.meta.algorithm === algorithm) return;
      report.errors.push(
        `metadata-algorithm-mismatch: ${META_NAME}: expected ${file.meta.algorithm.id}, repository opened as ${algorithm.id}`,
      );
    } catch (error) {
      report.hasMetadata = true;
      report.errors.push(`metadata-parse-failed: ${META_NAME}: ${describeError(error)}`);
    }
    report.metadataOk = false;
  }

  async objects(jobs: number): Promise<void> {
    let objects: Fd;
    try {
      objects = openat(this.#repository.dir.fd, "objects", O_RDONLY | O_DIRECTORY);
    } catch (error) {
      if (isErrno(error, ENOENT)) return;
      throw withContext("checking objects", error);
    }
    using opened = objects;
    const { hash } = this.#repository.algorithm;
    const results = await checkAllObjects(
      { objects: opened.fd, hash, secure: this.#repository.secure },
      jobs,
    );
    this.report.objectsChecked = results.checked;
    this.report.objectsCorrupted = results.errors.length;
    this.report.errors.push(...results.errors.map(({ text }) => text).sort());
    for (const { id } of results.errors) if (id !== undefined) this.report.badObjects.add(id);
  }

  category(category: Category): void {
    const errors: string[] = [];
    this.#entries(category, errors);
    this.#refs(category, errors);
    this.report.errors.push(...errors.sort());
  }

  #entries(category: Category, errors: string[]): void {
    using directory = openCategory(this.#repository, category);
    if (directory === undefined) return;
    let checked = 0;
    let corrupted = 0;
    for (const { name, type } of listDirectory(directory, MAX_ENTRIES)) {
      if (name === REFS) continue;
      checked++;
      if (!this.#entry(category, directory, name, type, errors)) corrupted++;
    }
    const { report } = this;
    if (category === "streams") {
      report.streamsChecked = checked;
      report.streamsCorrupted = corrupted;
    } else {
      report.imagesChecked = checked;
      report.imagesCorrupted = corrupted;
    }
  }

  /** Whether the entry itself is sound; objects that it refers to and that are missing do not count. */
  #entry(category: Category, directory: Fd, name: ByteString, type: number, errors: string[]): boolean {
    const path = `${category}/${display(name)}`;
    if (type !== DT_LNK) {
      errors.push(`entry-not-symlink: ${path}`);
      return false;
    }
    const found = this.#follow(directory, name, path, errors);
    if (found !== "ok") return found === "unknown";
    return category === "streams" ? this.#stream(name, path, errors) : this.#image(name, path, errors);
  }

  #refs(category: Category, errors: string[]): void {
    const entries = walkRefs(this.#repository, category);
    if (entries.length === 0) return;
    using directory = openDirectory(this.#repository.dir.fd, `${category}/${REFS}`);
    for (const { name, type } of entries) {
      const path = `${category}/${REFS}/${display(name)}`;
      if (type === DT_LNK) this.#follow(directory, name, path, errors);
      else errors.push(`unexpected-file-type: ${path}: ${TYPE_NAMES[type] ?? "Unknown"}`);
    }
  }

  #follow(directory: Fd, name: ByteString, path: string, errors: string[]): "ok" | "broken" | "unknown" {
    const result = tryAccessat(directory.fd, name, 0);
    if (result === 0) return "ok";
    if (result === -ENOENT) {
      errors.push(`broken-symlink: ${path}`);
      this.report.brokenLinks++;
      return "broken";
    }
    errors.push(`stat-failed: ${path}: ${errnoText(-result)}`);
    return "unknown";
  }

  #stream(name: ByteString, path: string, errors: string[]): boolean {
    try {
      using stream = openStreamObject(this.#repository, this.#resolve("streams", name));
      for (const id of stream.reader.objectRefs) {
        this.#expectObject(id, path, "missing-object-ref", id, errors);
      }
      for (const [ref, id] of stream.reader.namedRefs) {
        this.#expectObject(id, path, "missing-named-ref", `ref ${ref}: ${id}`, errors);
      }
      const wrong = this.#deep ? checkStreamContent(this.#repository, name, stream) : undefined;
      if (wrong !== undefined) errors.push(`stream-content-invalid: ${path}: ${wrong}`);
      return wrong === undefined;
    } catch (error) {
      errors.push(`stream-open-failed: ${path}: Opening stream '${display(name)}'`);
      this.report.causes.push(`${path}: ${describeError(error)}`);
      return false;
    }
  }

  #image(name: ByteString, path: string, errors: string[]): boolean {
    let bytes: Uint8Array;
    try {
      using file = this.#repository.objects.open(this.#resolve("images", name));
      bytes = readImageFile(file);
    } catch (error) {
      errors.push(`image-open-failed: ${path}: ${describeError(error)}`);
      return false;
    }
    try {
      for (const id of collectObjects(bytes, this.#repository.algorithm)) {
        this.#expectObject(id, path, "image-missing-object", id, errors);
      }
      const wrong = this.#deep ? checkImageBytes(this.#repository, bytes) : undefined;
      if (wrong !== undefined) errors.push(`image-not-canonical: ${path}: ${wrong}`);
      return wrong === undefined;
    } catch (error) {
      errors.push(`image-invalid: ${path}: ${describeError(error)}`);
      return false;
    }
  }

  #resolve(category: Category, name: ByteString): ObjectId {
    // The link exists: it was followed before.
    return resolveObject(this.#repository.dir, [category, name], this.#repository.algorithm)!;
  }

  #expectObject(id: ObjectId, path: string, kind: string, detail: string, errors: string[]): void {
    if (this.#present.has(id)) return;
    const result = tryAccessat(this.#repository.dir.fd, `objects/${objectPath(id)}`, 0);
    if (result === 0) {
      this.#present.add(id);
    } else if (result === -ENOENT) {
      errors.push(`${kind}: ${path}: ${detail}`);
      this.report.missingObjects++;
      this.report.badObjects.add(id);
    } else {
      errors.push(`object-check-failed: ${path}: ${id}: ${errnoText(-result)}`);
    }
  }
}

const TYPE_NAMES: Record<number, string> = {
  [DT_REG]: "RegularFile",
  [DT_DIR]: "Directory",
  [DT_FIFO]: "Fifo",
  [DT_SOCK]: "Socket",
  [DT_CHR]: "CharacterDevice",
  [DT_BLK]: "BlockDevice",
};
