import { type ByteString, display } from "../bytes.ts";
import { collectObjects } from "../erofs/collect.ts";
import { CfsError, describeError } from "../errors.ts";
import { HEADER_SIZE, hasSplitstreamMagic } from "../splitstream/format.ts";
import { DT_LNK, listDirectory } from "../sys/dir.ts";
import type { Fd } from "../sys/fd.ts";
import { pread, readlinkat } from "../sys/file.ts";
import type { ObjectId } from "../verity/digest.ts";
import { readImageFile } from "./images.ts";
import { baseName, type Category, objectOfTarget, REFS } from "./names.ts";
import { ObjectChecker } from "./object-check.ts";
import { MAX_ENTRIES, openCategory, walkRefs } from "./refs.ts";
import type { Repository } from "./repository.ts";
import { openStreamObject } from "./streams.ts";

/** A root and what must be done when it can't be read. */
export interface Unreadable {
  /** Path of the root below the repository. */
  readonly root: string;
  readonly why: string;
}

export interface LiveObjects {
  readonly ids: ReadonlySet<ObjectId>;
  /** Files that do not belong where they are, and links that lead nowhere; none of them keeps an object. */
  readonly strays: readonly string[];
  /** Roots whose objects are not known: nothing may be deleted while there are any. */
  readonly unreadable: readonly Unreadable[];
}

/** Entries directly below `streams/` or `images/`: name → object, undefined for a link to no object. */
type Entries = Map<ByteString, ObjectId | undefined>;

/**
 * Finds everything that refs, and further roots by name, keep alive.
 * @param extraRoots names directly below `streams/` or `images/`; others are ignored.
 */
export function findLiveObjects(repository: Repository, extraRoots: readonly ByteString[]): LiveObjects {
  const search = new Search(repository);
  search.walkCategory("images", extraRoots);
  search.walkCategory("streams", extraRoots);
  return { ids: search.ids, strays: search.strays, unreadable: search.unreadable };
}

class Search {
  readonly ids = new Set<ObjectId>();
  readonly strays: string[] = [];
  readonly unreadable: Unreadable[] = [];
  readonly #repository: Repository;
  readonly #checker: ObjectChecker;
  readonly #walked = new Set<ObjectId>();

  constructor(repository: Repository) {
    this.#repository = repository;
    this.#checker = new ObjectChecker(repository.algorithm, repository.secure);
  }

  walkCategory(category: Category, extraRoots: readonly ByteString[]): void {
    const entries = this.#entries(category);
    const isStream = new Set<ObjectId>();
    for (const id of entries.values()) if (id !== undefined) isStream.add(id);
    for (const { root, entry } of this.#roots(category, entries, extraRoots)) {
      const id = entries.get(entry);
      if (id === undefined) {
        const what = entries.has(entry) ? "is a link to no object" : "does not exist";
        this.unreadable.push({ root, why: `${category}/${display(entry)} ${what}` });
        continue;
      }
      try {
        if (category === "images") this.#addImage(id);
        else this.#addStreams(id, isStream);
      } catch (error) {
        if (!(error instanceof CfsError)) throw error;
        this.unreadable.push({ root, why: describeError(error) });
      }
    }
  }

  #entries(category: Category): Entries {
    const entries: Entries = new Map();
    using directory = openCategory(this.#repository, category);
    if (directory === undefined) return entries;
    for (const { name, type } of listDirectory(directory, MAX_ENTRIES)) {
      if (name === REFS) continue;
      const path = `${category}/${display(name)}`;
      const target = type === DT_LNK ? readlinkat(directory.fd, name) : undefined;
      if (target === undefined) {
        this.strays.push(`${path} is not a symbolic link`);
        continue;
      }
      let id: ObjectId | undefined;
      try {
        id = objectOfTarget(target, this.#repository.algorithm);
      } catch (error) {
        this.strays.push(`${path}: ${describeError(error)}`);
      }
      entries.set(name, id);
    }
    return entries;
  }

  *#roots(
    category: Category,
    entries: Entries,
    extraRoots: readonly ByteString[],
  ): Generator<{ root: string; entry: ByteString }> {
    for (const { name, target } of walkRefs(this.#repository, category)) {
      const root = `${category}/${REFS}/${display(name)}`;
      if (target === undefined) {
        this.strays.push(`${root} is not a symbolic link`);
        continue;
      }
      const entry = baseName(target);
      if (entry !== undefined) yield { root, entry };
    }
    for (const name of extraRoots) {
      if (entries.has(name)) yield { root: `${category}/${display(name)}`, entry: name };
    }
  }

  #addImage(id: ObjectId): void {
    if (this.#walked.has(id)) return;
    using file = this.#repository.objects.open(id);
    this.#verify(file, id);
    const objects = collectObjects(readImageFile(file), this.#repository.algorithm);
    this.#walked.add(id);
    this.ids.add(id);
    for (const object of objects) this.ids.add(object);
  }

  /** Adds a stream and, through named refs, all streams below it. Other objects with a name are only kept. */
  #addStreams(first: ObjectId, isStream: ReadonlySet<ObjectId>): void {
    const pending = [first];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      if (this.#walked.has(id)) continue;
      {
        using file = this.#repository.objects.open(id);
        this.#verify(file, id);
      }
      using stream = openStreamObject(this.#repository, id);
      this.#walked.add(id);
      this.ids.add(id);
      for (const object of stream.reader.objectRefs) this.ids.add(object);
      for (const target of stream.reader.namedRefs.values()) {
        this.ids.add(target);
        if (isStream.has(target) || this.#looksLikeStream(target)) pending.push(target);
      }
    }
  }

  /** A stream whose link got lost is still one that a root needs. A missing object keeps nothing. */
  #looksLikeStream(id: ObjectId): boolean {
    if (!this.#repository.objects.has(id)) return false;
    using file = this.#repository.objects.open(id);
    const head = Buffer.alloc(HEADER_SIZE);
    return pread(file.fd, head, 0, file.path) === HEADER_SIZE && hasSplitstreamMagic(head);
  }

  /** A damaged root could hide what it refers to. Where the kernel enforces digests, opening has checked already. */
  #verify(file: Fd, id: ObjectId): void {
    if (this.#repository.secure || this.#checker.digest(file.fd) === id) return;
    throw new CfsError("Corrupt", `${file.path} does not have the content that its name says`);
  }
}
