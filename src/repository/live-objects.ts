import { type ByteString, display, toText } from "../bytes.ts";
import { collectDigests } from "../erofs/collect.ts";
import { CfsError, describeError } from "../errors.ts";
import { HEADER_SIZE, hasSplitstreamMagic } from "../splitstream/format.ts";
import { DT_LNK, listDirectory } from "../sys/dir.ts";
import type { Fd } from "../sys/fd.ts";
import { pread, readlinkat } from "../sys/file.ts";
import { isObjectId, type ObjectId } from "../verity/digest.ts";
import { DigestTable } from "../verity/digest-table.ts";
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
  readonly ids: DigestTable;
  /** Files that do not belong where they are, and links that lead nowhere; none of them keeps an object. */
  readonly strays: readonly string[];
  /** Roots whose objects are not known: nothing may be deleted while there are any. */
  readonly unreadable: readonly Unreadable[];
  /** Names given as roots that no stream and no image has. */
  readonly unknown: readonly ByteString[];
  /**
   * Refs of streams, as paths below `streams/refs`, whose condition is not met, and whose stream nothing else keeps.
   */
  readonly lapsed: readonly string[];
}

/**
 * Some refs of streams are roots only while something else keeps one of some streams.
 * @param ref path below `streams/refs`.
 * @returns the names of those streams; undefined for a root without a condition.
 */
export type RootCondition = (ref: string) => readonly ByteString[] | undefined;

/**
 * Tells what is wrong with a stream that is a root.
 * @param name of the entry of `streams/`.
 */
export type RootCheck = (repository: Repository, name: ByteString, id: ObjectId) => string | undefined;

/** Something that keeps objects alive. */
export interface Root {
  /** Path below the repository. */
  readonly path: string;
  readonly category: Category;
  /** Path below the category's `refs`; undefined when the entry itself is the root. */
  readonly ref: ByteString | undefined;
  /** What it points to below `streams/` or `images/`. */
  readonly entry: ByteString;
  /** The object of that entry; undefined when there is none. */
  readonly id: ObjectId | undefined;
}

/** Told of what a root needs; `holder` is the stream or image that refers to it. */
export interface ObjectVisitor {
  one(id: ObjectId, holder: ObjectId | undefined): void;
  /** @param digests one after the other. */
  many(digests: Buffer, holder: ObjectId): void;
}

/** Told why something that a root needs can't be read, so that it is not known what else the root needs. */
export type OnUnreadable = (why: string) => void;

export interface LiveOptions {
  readonly condition?: RootCondition | undefined;
  readonly checkRoot?: RootCheck | undefined;
}

/**
 * Finds everything that refs, and further roots by name, keep alive.
 * @param extraRoots names directly below `streams/` or `images/`.
 */
export function findLiveObjects(
  repository: Repository,
  extraRoots: readonly ByteString[],
  { condition = () => undefined, checkRoot: check = () => undefined }: LiveOptions = {},
): LiveObjects {
  const checkRoot = rootChecker(repository, check);
  const ids = new DigestTable(repository.algorithm.size);
  const visitor: ObjectVisitor = {
    one: (id) => void ids.indexOf(id),
    many: (digests) => ids.addAll(digests),
  };
  const unreadable: Unreadable[] = [];
  const graph = new ReferenceGraph(repository);
  const walked = new Set<ObjectId>();
  const keep = (root: Root) => {
    const lost: string[] = [];
    const onUnreadable = (why: string) => void lost.push(why);
    attempt(onUnreadable, () => {
      const wrong = checkRoot(root);
      if (wrong !== undefined) onUnreadable(wrong);
    });
    graph.walk(root, walked, visitor, onUnreadable);
    if (lost.length > 0) unreadable.push({ root: root.path, why: lost[0]! });
  };
  let waiting: { root: Root; ref: string; streams: readonly ByteString[] }[] = [];
  for (const root of graph.roots(extraRoots)) {
    const ref = root.category === "streams" && root.ref !== undefined ? toText(root.ref) : undefined;
    const streams = ref === undefined ? undefined : condition(ref);
    if (streams === undefined) keep(root);
    else waiting.push({ root, ref: ref!, streams });
  }
  const isLive = (id: ObjectId | undefined) => id !== undefined && ids.has(id);
  // What one of them keeps may be what another one depends on.
  for (let before = -1; before !== ids.length; ) {
    before = ids.length;
    const { met = [], unmet = [] } = Object.groupBy(waiting, ({ streams }) =>
      streams.some((stream) => isLive(graph.streamObject(stream))) ? "met" : "unmet",
    );
    for (const { root } of met) keep(root);
    waiting = unmet;
  }
  const unknown = extraRoots.filter((name) => !graph.hasEntry(name));
  const lapsed = waiting.flatMap(({ root, ref }) => (isLive(root.id) ? [] : [ref]));
  return { ids, strays: graph.strays, unreadable, unknown, lapsed };
}

/** Several refs may lead to the same entry, which is checked once. */
function rootChecker(repository: Repository, check: RootCheck): (root: Root) => string | undefined {
  const known = new Map<ByteString, string | undefined>();
  return ({ category, entry, id }) => {
    if (category !== "streams" || id === undefined || !repository.objects.has(id)) return undefined;
    if (!known.has(entry)) {
      const wrong = check(repository, entry, id);
      known.set(entry, wrong && `streams/${display(entry)}: ${wrong}`);
    }
    return known.get(entry);
  };
}

/** Names directly below `streams/` or `images/` → object, undefined for a link to no object. */
type Entries = ReadonlyMap<ByteString, ObjectId | undefined>;

/** What refers to what in a repository. */
export class ReferenceGraph {
  readonly strays: string[] = [];
  readonly #repository: Repository;
  readonly #checker: ObjectChecker;
  readonly #images: Entries;
  readonly #streams: Entries;
  readonly #streamNames = new Map<ObjectId, ByteString>();
  readonly #imageIds = new Set<ObjectId>();
  /** Objects whose content has been compared with their names. */
  readonly #intact = new Set<ObjectId>();

  constructor(repository: Repository) {
    this.#repository = repository;
    this.#checker = new ObjectChecker(repository.algorithm, repository.secure);
    this.#images = this.#entries("images");
    this.#streams = this.#entries("streams");
    for (const [name, id] of this.#streams) if (id !== undefined) this.#streamNames.set(id, name);
    for (const id of this.#images.values()) if (id !== undefined) this.#imageIds.add(id);
  }

  /** All refs, of images first, then the entries named in `extra` that exist. */
  roots(extra: readonly ByteString[] = []): Root[] {
    return [
      ...this.#rootsOf("images", this.#images, extra),
      ...this.#rootsOf("streams", this.#streams, extra),
    ];
  }

  /** Whether a stream or an image has this name. */
  hasEntry(name: ByteString): boolean {
    return this.#images.has(name) || this.#streams.has(name);
  }

  /** Object of the stream of this name. */
  streamObject(name: ByteString): ObjectId | undefined {
    return this.#streams.get(name);
  }

  /** Name of the stream that is held by an object. */
  streamName(id: ObjectId): ByteString | undefined {
    return this.#streamNames.get(id);
  }

  /**
   * Visits all objects that a root needs: its own first, what the image or stream refers to, and through named refs all
   * streams below it. Other objects with a name are only visited. What can't be read is passed over.
   * @param walked streams and images that need no second walk; those that are walked are added.
   */
  walk(root: Root, walked: Set<ObjectId>, visitor: ObjectVisitor, onUnreadable: OnUnreadable): void {
    const { category, entry, id } = root;
    if (id === undefined) {
      const exists = (category === "images" ? this.#images : this.#streams).has(entry);
      onUnreadable(`${category}/${display(entry)} ${exists ? "is a link to no object" : "does not exist"}`);
    } else if (category === "images") {
      if (entry !== id && isObjectId(entry, this.#repository.algorithm))
        onUnreadable(`images/${display(entry)} leads to another image than its name says`);
      visitor.one(id, undefined);
      this.#walkImage(id, walked, visitor, onUnreadable);
    } else this.#walkStreams(id, walked, visitor, onUnreadable);
  }

  #walkImage(id: ObjectId, walked: Set<ObjectId>, visitor: ObjectVisitor, onUnreadable: OnUnreadable): void {
    if (walked.has(id)) return;
    attempt(onUnreadable, () => {
      using file = this.#repository.objects.open(id);
      this.#verify(file, id);
      const objects = collectDigests(readImageFile(file), this.#repository.algorithm);
      walked.add(id);
      visitor.many(objects, id);
    });
  }

  #walkStreams(
    first: ObjectId,
    walked: Set<ObjectId>,
    visitor: ObjectVisitor,
    onUnreadable: OnUnreadable,
  ): void {
    visitor.one(first, undefined);
    const pending = [first];
    const images: ObjectId[] = [];
    let incomplete = false;
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      if (walked.has(id)) continue;
      const holder = id;
      attempt(onUnreadable, () => {
        for (const target of this.#walkStream(holder, walked, visitor)) {
          const kind = this.#kindOf(target);
          if (kind === "stream") pending.push(target);
          if (kind === "image") images.push(target);
          if (kind === "lost") incomplete = true;
        }
      });
    }
    // The layers keep what is in the images made from them. Where one got lost, only the images still know it.
    if (incomplete) for (const image of images) this.#walkImage(image, walked, visitor, () => undefined);
  }

  /** @returns what named refs point to. */
  #walkStream(id: ObjectId, walked: Set<ObjectId>, visitor: ObjectVisitor): ObjectId[] {
    {
      using file = this.#repository.objects.open(id);
      this.#verify(file, id);
    }
    using stream = openStreamObject(this.#repository, id);
    walked.add(id);
    visitor.many(stream.reader.objectRefs.bytes, id);
    const targets = [...new Set(stream.reader.namedRefs.values())];
    for (const target of targets) visitor.one(target, id);
    return targets;
  }

  /** What a named ref points to. A stream whose link got lost is still one that a root needs. */
  #kindOf(id: ObjectId): "stream" | "image" | "other" | "lost" {
    if (this.#streamNames.has(id)) return "stream";
    if (!this.#repository.objects.has(id)) return "lost";
    using file = this.#repository.objects.open(id);
    const head = Buffer.alloc(HEADER_SIZE);
    if (pread(file.fd, head, 0, file.path) === HEADER_SIZE && hasSplitstreamMagic(head)) return "stream";
    if (!this.#isIntact(file, id)) return "lost";
    return this.#imageIds.has(id) ? "image" : "other";
  }

  /** A damaged root could hide what it refers to. Where the kernel enforces digests, opening has checked already. */
  #verify(file: Fd, id: ObjectId): void {
    if (this.#isIntact(file, id)) return;
    throw new CfsError("Corrupt", `${file.path} does not have the content that its name says`);
  }

  #isIntact(file: Fd, id: ObjectId): boolean {
    if (this.#repository.secure || this.#intact.has(id)) return true;
    const isIntact = this.#checker.digest(file.fd) === id;
    if (isIntact) this.#intact.add(id);
    return isIntact;
  }

  #entries(category: Category): Entries {
    const entries = new Map<ByteString, ObjectId | undefined>();
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

  *#rootsOf(category: Category, entries: Entries, extra: readonly ByteString[]): Generator<Root> {
    for (const { name, target } of walkRefs(this.#repository, category)) {
      const path = `${category}/${REFS}/${display(name)}`;
      if (target === undefined) {
        this.strays.push(`${path} is not a symbolic link`);
        continue;
      }
      // One that names no entry, such as `..`, is a root that can't be read.
      const entry = baseName(target) ?? target;
      yield { path, category, ref: name, entry, id: entries.get(entry) };
    }
    for (const entry of extra) {
      if (!entries.has(entry)) continue;
      const path = `${category}/${display(entry)}`;
      yield { path, category, ref: undefined, entry, id: entries.get(entry) };
    }
  }
}

/** Goes on after what a damaged object causes. */
function attempt<T>(onUnreadable: OnUnreadable, action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    onUnreadable(describeError(error));
    return undefined;
  }
}
