import { fromText } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import { linkTarget, placeLink } from "../../repository/links.ts";
import { type Category, objectTarget, refComponents } from "../../repository/names.ts";
import { writeRef } from "../../repository/refs.ts";
import type { Repository } from "../../repository/repository.ts";
import { syncfs } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { PublishedIndex } from "../index-format.ts";
import type { PublishedCopy } from "../published-copy.ts";
import { Closure } from "./closure.ts";
import { type FetchRoot, findRoots } from "./roots.ts";
import { nameStream } from "./stream-names.ts";

export interface FetchOptions {
  readonly progress?: Progress;
  /** Name for the ref that is left, of the one thing that is fetched, instead of that in the copy. */
  readonly ref?: string | undefined;
}

/** What was fetched. */
export interface FetchedRoot {
  readonly category: Category;
  readonly id: ObjectId;
  /** Directly below the category; undefined for a stream whose name nobody knows. */
  readonly entry: string | undefined;
  /** Path below the category's `refs`. */
  readonly ref: string | undefined;
  /** SHA-256 of a stream's content, in hex. */
  readonly sha256: string | undefined;
}

export interface FetchReport {
  readonly roots: readonly FetchedRoot[];
  readonly fetchedObjects: number;
  readonly fetchedBytes: number;
  readonly presentObjects: number;
}

/**
 * Brings streams and images of a published copy into a repository, with all that they need. Refs are written when
 * everything is there, on disk, and what it is called.
 * @param names as `findRoots` takes them.
 * @throws CfsError NotFound, Corrupt, Network, Permission, Invalid
 */
export async function fetchFromCopy(
  copy: PublishedCopy,
  repository: Repository,
  names: readonly string[],
  { progress = silentProgress, ref }: FetchOptions = {},
): Promise<FetchReport> {
  repository.ensureWritable();
  if (ref !== undefined) refComponents(ref);
  const index = await copy.index();
  expectAlgorithm(copy, repository, index);
  const roots = await findRoots(copy, repository, index, names);
  if (ref !== undefined && roots.length !== 1)
    throw new CfsError("Invalid", `one name can't be given to ${roots.length} streams and images`);
  const closure = new Closure(copy, repository, progress);
  await closure.fetchReferences(
    roots.map(({ id }) => id),
    sizesIn(index),
  );
  for (const { category, id } of roots)
    if (!(category === "streams" ? closure.streams : closure.images).has(id))
      throw new CfsError("Corrupt", `${copy.label}: the object ${id} is not one of ${category}`);
  await closure.fetchContent();
  const linker = new Linker(repository, index, closure, roots);
  const fetched = linker.link(ref, progress);
  const { objects, bytes, present } = closure.amount;
  return { roots: fetched, fetchedObjects: objects, fetchedBytes: bytes, presentObjects: present };
}

function expectAlgorithm(
  copy: PublishedCopy,
  { algorithm, path }: Repository,
  index: PublishedIndex | undefined,
): void {
  if (index === undefined || index.algorithm === algorithm) return;
  throw new CfsError(
    "Invalid",
    `${copy.label} has objects of ${index.algorithm.id}, but ${path} of ${algorithm.id}`,
    {
      hint: `fetch into a repository made by \`cfsctl init --algorithm ${index.algorithm.id}\``,
    },
  );
}

function sizesIn(index: PublishedIndex | undefined): ReadonlyMap<ObjectId, number> {
  if (index === undefined) return new Map();
  return new Map([...index.streams.values(), ...index.images.values()].map(({ id, size }) => [id, size]));
}

/** Gives names to what was fetched. */
class Linker {
  readonly #repository: Repository;
  readonly #closure: Closure;
  readonly #roots: readonly FetchRoot[];
  readonly #images: ReadonlySet<ObjectId>;
  /** What the copy, and whoever wants them, call streams. */
  readonly #claimed: Map<ObjectId, Set<string>>;

  constructor(
    repository: Repository,
    index: PublishedIndex | undefined,
    closure: Closure,
    roots: readonly FetchRoot[],
  ) {
    this.#repository = repository;
    this.#closure = closure;
    this.#roots = roots;
    const isRoot = (image: ObjectId) =>
      roots.some(({ category, id }) => category === "images" && id === image);
    this.#images = new Set(
      [...closure.images].filter((id) => index === undefined || index.images.has(id) || isRoot(id)),
    );
    this.#claimed = new Map();
    const claims = [...(index?.streams ?? [])].map(([name, { id }]) => [name, id] as const);
    for (const { category, entry, id } of roots)
      if (category === "streams" && entry !== undefined) claims.push([entry, id]);
    for (const [name, id] of claims) {
      if (!closure.streams.has(id)) continue;
      const names = this.#claimed.get(id) ?? new Set();
      this.#claimed.set(id, names.add(name));
    }
  }

  link(ref: string | undefined, progress: Progress): FetchedRoot[] {
    const names = new Map<ObjectId, readonly string[]>();
    const contents = new Map<ObjectId, string>();
    const { size } = this.#closure.streams;
    if (size > 0) progress.event({ type: "message", text: `checking the content of ${size} streams` });
    for (const id of this.#closure.streams) {
      const claimed = [...(this.#claimed.get(id) ?? [])];
      const isRoot = this.#roots.some((root) => root.id === id);
      if (!isRoot && claimed.length > 0 && claimed.every((name) => this.#isLinked(name, id))) continue;
      const { names: known, sha256 } = nameStream(this.#repository, id, claimed);
      names.set(id, known);
      contents.set(id, sha256);
    }
    syncfs(this.#repository.dir);
    for (const id of this.#images) placeLink(this.#repository.dir, ["images", id], objectTarget(id));
    // What others refer to comes first.
    for (const [id, known] of [...names].reverse()) for (const name of known) this.#linkStream(name, id);
    return this.#roots.map((root): FetchedRoot => {
      const { category, id } = root;
      const entry = root.entry ?? (category === "images" ? id : names.get(id)?.[0]);
      const wanted = ref ?? root.ref;
      if (wanted !== undefined) {
        const target = entry ?? this.#linkUnnamed(id);
        writeRef(this.#repository, category, wanted, fromText(target));
      }
      return { category, id, entry, ref: wanted, sha256: contents.get(id) };
    });
  }

  #isLinked(name: string, id: ObjectId): boolean {
    return linkTarget(this.#repository.dir.fd, `streams/${fromText(name)}`) === objectTarget(id);
  }

  /**
   * What was asked for takes the place of what has the same name. Other streams stay: the same content can be held by
   * different objects, and what refers to the one that is there needs its link.
   */
  #linkStream(name: string, id: ObjectId): void {
    const isRoot = this.#roots.some((root) => root.id === id);
    const { dir } = this.#repository;
    if (isRoot || linkTarget(dir.fd, `streams/${fromText(name)}`) === undefined)
      placeLink(dir, ["streams", fromText(name)], objectTarget(id));
    else if (!this.#isLinked(name, id)) this.#linkUnnamed(id);
  }

  #linkUnnamed(id: ObjectId): string {
    const name = `fetched-${id}`;
    placeLink(this.#repository.dir, ["streams", name], objectTarget(id));
    return name;
  }
}
