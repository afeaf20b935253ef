import { type ByteString, display, fromText, toText } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import { REF_PREFIX as SUMMARY_PREFIX } from "../../ostree/remote/summary-cache.ts";
import { linkTarget } from "../../repository/links.ts";
import { baseName, type Category, objectOfTarget, REFS } from "../../repository/names.ts";
import { isIntactObject } from "../../repository/object-check.ts";
import { listRefs, MAX_ENTRIES, openCategory } from "../../repository/refs.ts";
import type { Repository } from "../../repository/repository.ts";
import { listDirectory } from "../../sys/dir.ts";
import { formatObjectId, type ObjectId } from "../../verity/digest.ts";
import { parseName } from "../copy-name.ts";
import type { PublishedIndex, PublishedObject } from "../index-format.ts";
import { ObjectSizes } from "../object-sizes.ts";
import { readReferences } from "../references.ts";

/** What is to be published. */
export interface Selection {
  /** Refs, and the streams and images that they need. */
  readonly index: PublishedIndex;
  /** All objects, with their sizes. */
  readonly objects: ObjectSizes;
}

/** A ref and what it leads to. */
interface SelectedRef {
  readonly category: Category;
  readonly name: string;
  readonly entry: string;
  readonly id: ObjectId;
}

const HINT = "run `cfsctl fsck` to find out what is wrong, and pull it again";

/**
 * Finds what refs of a repository need.
 * @param names of refs, and of directories of refs, as `parseName` takes them; all refs when there are none, but for
 *   what the repository only keeps to save time.
 * @throws CfsError NotFound; Corrupt when something that a ref needs is missing or damaged
 */
export function selectRefs(repository: Repository, names: readonly string[]): Selection {
  const refs = selectedRefs(repository, names);
  const objects = new ObjectSizes(repository.algorithm);
  const streams = new Set<ObjectId>();
  const images = new Set<ObjectId>();
  for (const { category, name, id } of refs) {
    try {
      collect(repository, id, { objects, streams, images });
      if (!(category === "streams" ? streams : images).has(id))
        throw new CfsError("Corrupt", `it is not one of ${category}`);
    } catch (error) {
      throw withContext(`${category}/${REFS}/${name}`, error);
    }
  }
  const published = (id: ObjectId): PublishedObject => ({ id, size: objects.get(id)!.exact! });
  const ofCategory = (category: Category) => refs.filter((ref) => ref.category === category);
  const index: PublishedIndex = {
    algorithm: repository.algorithm,
    streams: new Map(
      entriesOf(repository, "streams", streams).map(([name, id]) => [name, published(id)] as const),
    ),
    images: new Map(
      entriesOf(repository, "images", images).flatMap(([name, id]) =>
        name === id ? [[id, published(id)] as const] : [],
      ),
    ),
    streamRefs: new Map(ofCategory("streams").map(({ name, entry }) => [name, entry] as const)),
    imageRefs: new Map(ofCategory("images").map(({ name, id }) => [name, id] as const)),
  };
  return { index, objects };
}

function selectedRefs(repository: Repository, names: readonly string[]): SelectedRef[] {
  const all = (["streams", "images"] as const).flatMap((category) =>
    listRefs(repository, category).map(({ name, target }) => ({ category, name, target })),
  );
  if (names.length === 0)
    return all
      .filter(({ name }) => !name.startsWith(SUMMARY_PREFIX))
      .map(({ category, name, target }) => resolve(repository, category, name, target));
  const selected = new Map<string, SelectedRef>();
  for (const text of names) {
    const { category, path } = parseName(text);
    const wanted = fromText(path === REFS ? "" : path.slice(REFS.length + 1));
    const isRef = path === REFS || path.startsWith(`${REFS}/`);
    const found = all.filter(
      (ref) =>
        isRef &&
        ref.category === category &&
        (wanted === "" || ref.name === wanted || ref.name.startsWith(`${wanted}/`)),
    );
    if (found.length === 0)
      throw new CfsError("NotFound", `the repository has no ref ${category}/${display(fromText(path))}`, {
        hint: "name refs as refs/NAME or images/refs/NAME",
      });
    for (const { name, target } of found)
      selected.set(`${category}/${name}`, resolve(repository, category, name, target));
  }
  return [...selected.values()];
}

function resolve(
  repository: Repository,
  category: Category,
  name: ByteString,
  target: ByteString,
): SelectedRef {
  const path = `${category}/${REFS}/${display(name)}`;
  const entry = baseName(target);
  const [refText, entryText] = [toText(name), entry === undefined ? undefined : toText(entry)];
  if (refText === undefined || entryText === undefined)
    throw new CfsError("Unsupported", `${path}: names that are not UTF-8 can't be published`, {
      hint: "name the refs to be published",
    });
  const link = linkTarget(repository.dir.fd, `${category}/${entry}`);
  if (link === undefined)
    throw new CfsError("Corrupt", `${path} leads to ${category}/${display(entry!)}, which is missing`, {
      hint: HINT,
    });
  return { category, name: refText, entry: entryText, id: objectOfTarget(link, repository.algorithm) };
}

interface Collected {
  readonly objects: ObjectSizes;
  readonly streams: Set<ObjectId>;
  readonly images: Set<ObjectId>;
}

function collect(repository: Repository, root: ObjectId, { objects, streams, images }: Collected): void {
  const missing = (id: ObjectId) =>
    new CfsError("Corrupt", `object ${formatObjectId(id, repository.algorithm)} is missing`, { hint: HINT });
  const add = (id: ObjectId) => {
    if (objects.has(id)) return;
    const exact = repository.objects.sizeOf(id);
    if (exact === undefined) throw missing(id);
    objects.add(id, { exact });
  };
  const pending = [root];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (streams.has(id) || images.has(id)) continue;
    add(id);
    if (!isIntactObject(repository, id))
      throw new CfsError("Corrupt", `object ${formatObjectId(id, repository.algorithm)} is damaged`, {
        hint: HINT,
      });
    const { kind, targets } = readReferences(repository, id, add);
    if (kind === "stream") streams.add(id);
    if (kind === "image") images.add(id);
    pending.push(...targets);
  }
}

/** Links directly below a category to some objects. */
function entriesOf(
  repository: Repository,
  category: Category,
  wanted: ReadonlySet<ObjectId>,
): (readonly [name: string, id: ObjectId])[] {
  using directory = openCategory(repository, category);
  if (directory === undefined) return [];
  const entries: (readonly [string, ObjectId])[] = [];
  for (const { name } of listDirectory(directory, MAX_ENTRIES)) {
    const text = toText(name);
    const target = name === REFS ? undefined : linkTarget(directory.fd, name);
    if (target === undefined || text === undefined) continue;
    const id = tryObjectOfTarget(target, repository);
    if (id !== undefined && wanted.has(id)) entries.push([text, id]);
  }
  return entries;
}

function tryObjectOfTarget(target: ByteString, { algorithm }: Repository): ObjectId | undefined {
  try {
    return objectOfTarget(target, algorithm);
  } catch {
    return undefined;
  }
}
