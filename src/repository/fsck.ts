import { type ByteString, compareBytes, display } from "../bytes.ts";
import { collectObjects } from "../erofs/collect.ts";
import { CfsError, describeError, withContext } from "../errors.ts";
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
import { isObjectId, type ObjectId, objectPath } from "../verity/digest.ts";
import { type Finding, type LinkName, lineOf } from "./findings.ts";
import { checkImageBytes, checkStreamContents, type StreamToCheck } from "./fsck-deep.ts";
import { checkAllObjects } from "./fsck-objects.ts";
import { isImageObject, readImageFile } from "./images.ts";
import { linkTarget, resolveObject } from "./links.ts";
import { META_NAME } from "./meta.ts";
import { readMetaFile } from "./meta-file.ts";
import { type Category, objectOfTarget, REFS } from "./names.ts";
import { isIntactObject, NOT_A_DIRECTORY, OBJECT_DIRECTORIES } from "./object-check.ts";
import { TEMPORARY_OBJECT_PREFIX } from "./objects.ts";
import { entryOfRef, MAX_ENTRIES, openCategory, walkRefs } from "./refs.ts";
import type { Repository } from "./repository.ts";
import { openStreamObject } from "./streams.ts";

export interface FsckOptions {
  /** Leave out the objects' content. */
  readonly metadataOnly?: boolean;
  /**
   * Also rebuild every stream, compare every image with what writing its tree gives, and look for refs that lead to
   * no entry and files that do not belong in `objects/`.
   */
  readonly deep?: boolean;
  /** Threads that read. */
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
  /** Those about objects, streams and images, each sorted by their lines. */
  readonly findings: Finding[];
  /** The lines of the findings. */
  readonly errors: readonly string[];
}

/** Objects that are damaged or missing. */
export function badObjects({ findings }: FsckReport): Set<ObjectId> {
  return new Set(findings.flatMap(({ object }) => object ?? []));
}

/** Checks that everything in a repository is what it claims to be. Changes nothing. */
export async function checkRepository(
  repository: Repository,
  options: FsckOptions = {},
): Promise<FsckReport> {
  const { metadataOnly = false, deep = false, jobs = 1 } = options;
  const check = new Check(repository, deep);
  check.metadata();
  if (!metadataOnly) await check.objects(jobs);
  await check.streams(jobs);
  check.images();
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
    findings: [],
    get errors() {
      return this.findings.map(lineOf);
    },
  };
  readonly #repository: Repository;
  readonly #deep: boolean;
  /** Objects known to be there: many streams and images share theirs. */
  readonly #present = new Set<ObjectId>();
  /** What streams refer to by name, and whose link was looked for. */
  readonly #looked = new Set<ObjectId>();
  /** Of the category that is being checked. */
  #found: Finding[] = [];

  constructor(repository: Repository, deep: boolean) {
    this.#repository = repository;
    this.#deep = deep;
  }

  metadata(): void {
    const { report } = this;
    const { algorithm } = this.#repository;
    const wrong = (kind: string, detail: string) => {
      report.metadataOk = false;
      report.findings.push({ kind, path: META_NAME, detail });
    };
    try {
      const file = readMetaFile(this.#repository.dir);
      report.hasMetadata = file !== undefined;
      if (file === undefined || file.meta.algorithm === algorithm) return;
      const expected = file.meta.algorithm.id;
      wrong("metadata-algorithm-mismatch", `expected ${expected}, repository opened as ${algorithm.id}`);
    } catch (error) {
      report.hasMetadata = true;
      wrong("metadata-parse-failed", describeError(error));
    }
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
    const { checked, findings } = await checkAllObjects(
      { objects: opened.fd, hash, secure: this.#repository.secure },
      jobs,
    );
    this.report.objectsChecked = checked;
    this.report.objectsCorrupted = findings.filter(({ kind }) => kind !== NOT_A_DIRECTORY).length;
    this.#found.push(...findings);
    if (this.#deep) this.#strayFiles(opened);
    this.#finish();
  }

  async streams(jobs: number): Promise<void> {
    const { report } = this;
    const readable: StreamToCheck[] = [];
    [report.streamsChecked, report.streamsCorrupted] = this.#entries("streams", (link, id) => {
      const isReadable = this.#stream(link, id);
      if (isReadable) readable.push({ name: link.name, id });
      return isReadable;
    });
    this.#refs("streams");
    if (this.#deep) {
      const wrong = await checkStreamContents(this.#repository, readable, jobs);
      report.streamsCorrupted += wrong.length;
      for (const { name, detail } of wrong)
        this.#report("stream-content-invalid", { category: "streams", name }, { detail });
    }
    this.#finish();
  }

  images(): void {
    const { report } = this;
    [report.imagesChecked, report.imagesCorrupted] = this.#entries("images", (link, id) =>
      this.#image(link, id),
    );
    this.#refs("images");
    this.#finish();
  }

  #report(kind: string, link: LinkName, what: Partial<Finding> = {}): void {
    this.#found.push({ kind, path: `${link.category}/${link.name}`, link, ...what });
  }

  /** Adds what was found of a category to the report, sorted. */
  #finish(): void {
    const lines = this.#found.map((finding) => ({ finding, line: lineOf(finding) }));
    this.#found = [];
    lines.sort((a, b) => compareBytes(a.line, b.line));
    for (const { finding } of lines) this.report.findings.push(finding);
  }

  #strayFiles(objects: Fd): void {
    const known = new Set(OBJECT_DIRECTORIES);
    for (const { name } of listDirectory(objects, MAX_ENTRIES)) {
      // What interrupted work leaves is for gc.
      if (known.has(name) || name.startsWith(TEMPORARY_OBJECT_PREFIX)) continue;
      this.#found.push({ kind: "unexpected-file", path: `objects/${name}` });
    }
  }

  /** @returns how many entries there are, and how many of them `check`, or the link itself, is not content with. */
  #entries(category: Category, check: (link: LinkName, id: ObjectId) => boolean): [number, number] {
    let checked = 0;
    let corrupted = 0;
    using directory = openCategory(this.#repository, category);
    if (directory === undefined) return [checked, corrupted];
    for (const { name, type } of listDirectory(directory, MAX_ENTRIES)) {
      if (name === REFS) continue;
      checked++;
      if (!this.#entry(directory, { category, name }, type, check)) corrupted++;
    }
    return [checked, corrupted];
  }

  /** Whether the entry itself is sound; objects that it refers to and that are missing do not count. */
  #entry(
    directory: Fd,
    link: LinkName,
    type: number,
    check: (link: LinkName, id: ObjectId) => boolean,
  ): boolean {
    if (type !== DT_LNK) {
      this.#report("entry-not-symlink", link);
      return false;
    }
    const found = this.#follow(directory, link.name, link);
    if (found !== "ok") return found === "unknown";
    let id: ObjectId;
    try {
      // It leads somewhere: it was followed.
      id = resolveObject(this.#repository.dir, [link.category, link.name], this.#repository.algorithm)!;
    } catch (error) {
      this.#unreadable(link, error);
      return false;
    }
    return check(link, id);
  }

  #refs(category: Category): void {
    const entries = walkRefs(this.#repository, category);
    if (entries.length === 0) return;
    using directory = openDirectory(this.#repository.dir.fd, `${category}/${REFS}`);
    for (const { name, type } of entries) {
      const link = { category, name: `${REFS}/${name}` };
      if (type !== DT_LNK) {
        this.#report("unexpected-file-type", link, { detail: TYPE_NAMES[type] ?? "Unknown" });
      } else if (this.#follow(directory, name, link) === "ok" && this.#deep) this.#refTarget(link);
    }
  }

  /** For gc, and whoever lists refs, one that leads elsewhere leads nowhere. */
  #refTarget(link: LinkName): void {
    const path = [link.category, ...link.name.split("/")];
    const target = linkTarget(this.#repository.dir.fd, path.join("/"));
    if (target === undefined || entryOfRef(path, target) !== undefined) return;
    this.#report("ref-target-invalid", link, {
      detail: `it leads to '${display(target)}', which is no entry`,
    });
  }

  #follow(directory: Fd, name: ByteString, link: LinkName): "ok" | "broken" | "unknown" {
    let result = tryAccessat(directory.fd, name, 0);
    if (result === -ENOENT) {
      // Another process may have removed it since it was listed, or be about to replace it.
      if (linkTarget(directory.fd, name) === undefined) return "unknown";
      result = tryAccessat(directory.fd, name, 0);
    }
    if (result === 0) return "ok";
    if (result === -ENOENT) {
      this.#report("broken-symlink", link, { object: this.#objectNamedBy(directory, name) });
      this.report.brokenLinks++;
      return "broken";
    }
    this.#report("stat-failed", link, { detail: errnoText(-result) });
    return "unknown";
  }

  /** The object that the text of a link names. */
  #objectNamedBy(directory: Fd, name: ByteString): ObjectId | undefined {
    try {
      return objectOfTarget(linkTarget(directory.fd, name) ?? "", this.#repository.algorithm);
    } catch (error) {
      if (error instanceof CfsError) return undefined;
      throw error;
    }
  }

  #stream(link: LinkName, id: ObjectId): boolean {
    try {
      using stream = openStreamObject(this.#repository, id);
      for (const ref of stream.reader.objectRefs) this.#expectObject(ref, link, "missing-object-ref", ref);
      for (const [name, ref] of stream.reader.namedRefs) {
        this.#expectObject(ref, link, "missing-named-ref", `ref ${name}: ${ref}`);
      }
      if (this.#deep) for (const ref of stream.reader.namedRefs.values()) this.#expectImageLink(ref);
      return true;
    } catch (error) {
      this.#unreadable(link, error, id);
      return false;
    }
  }

  /** An image that a stream refers to can only be mounted when it has a link of its own. */
  #expectImageLink(id: ObjectId): void {
    if (this.#looked.has(id)) return;
    this.#looked.add(id);
    if (tryAccessat(this.#repository.dir.fd, `images/${id}`, 0) !== -ENOENT) return;
    if (!isImageObject(this.#repository, id)) return;
    const link = { category: "images", name: id } as const;
    this.#report("image-link-missing", link, { detail: "a stream refers to this image" });
  }

  #image(link: LinkName, id: ObjectId): boolean {
    const isMistaken = isObjectId(link.name, this.#repository.algorithm) && link.name !== id;
    if (isMistaken) this.#report("image-link-mismatch", link, { detail: `it leads to ${id}` });
    let bytes: Uint8Array;
    try {
      using file = this.#repository.objects.open(id);
      bytes = readImageFile(file);
    } catch (error) {
      this.#unreadable(link, error, id);
      return false;
    }
    try {
      for (const object of collectObjects(bytes, this.#repository.algorithm)) {
        this.#expectObject(object, link, "image-missing-object", object);
      }
    } catch (error) {
      this.#report("image-invalid", link, { detail: describeError(error), object: this.#ifDamaged(id) });
      return false;
    }
    const wrong = this.#deep ? checkImageBytes(this.#repository, bytes) : undefined;
    if (wrong !== undefined) {
      this.#report("image-not-canonical", link, { detail: wrong, object: this.#ifDamaged(id) });
    }
    return wrong === undefined && !isMistaken;
  }

  /** @param id what the link leads to. Of a stream, composefs-rs does not say why it can't be read. */
  #unreadable(link: LinkName, error: unknown, id?: ObjectId): void {
    const why = describeError(error);
    const object = this.#ifDamaged(id);
    if (link.category === "images") this.#report("image-open-failed", link, { detail: why, object });
    else {
      const detail = `Opening stream '${display(link.name)}'`;
      this.#report("stream-open-failed", link, { detail, cause: why, object });
    }
  }

  /** Of what can't be read, either the object is damaged, or the link leads to the wrong one. */
  #ifDamaged(id: ObjectId | undefined): ObjectId | undefined {
    return id === undefined || isIntactObject(this.#repository, id) ? undefined : id;
  }

  #expectObject(id: ObjectId, link: LinkName, kind: string, detail: string): void {
    if (this.#present.has(id)) return;
    const result = tryAccessat(this.#repository.dir.fd, `objects/${objectPath(id)}`, 0);
    if (result === 0) {
      this.#present.add(id);
    } else if (result === -ENOENT) {
      this.#report(kind, link, { detail, object: id });
      this.report.missingObjects++;
    } else {
      this.#report("object-check-failed", link, { detail: `${id}: ${errnoText(-result)}`, object: id });
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
