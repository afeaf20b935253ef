import { CfsError, withContext } from "../../errors.ts";
import type { Reply } from "../../http/reply.ts";
import {
  type Category,
  checkContentId,
  objectOfTarget,
  REFS,
  refComponents,
} from "../../repository/names.ts";
import type { Repository } from "../../repository/repository.ts";
import { writeAll } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { VerityHasher } from "../../verity/merkle.ts";
import { type CopyName, parseName } from "../copy-name.ts";
import type { PublishedIndex } from "../index-format.ts";
import { LINK_MEDIA_TYPE, publishedLinkPath } from "../layout.ts";
import { MAX_OBJECT_SIZE } from "../object-download.ts";
import type { PublishedCopy } from "../published-copy.ts";

/** Something that is to be fetched with all that it needs. */
export interface FetchRoot {
  readonly category: Category;
  readonly id: ObjectId;
  /** Path below the category's `refs`, where that is how it was named. */
  readonly ref: string | undefined;
  /** Name directly below the category, as far as it is known. */
  readonly entry: string | undefined;
}

/** More than the path of an object may have. */
const MAX_LINK = 4096;
const NAMES_SHOWN = 5;

/**
 * What users call `[streams/]ID`, `[streams/]refs/NAME`, `images/HEX` or `images/refs/NAME`. A directory of refs stands
 * for all refs in it.
 * @throws CfsError Invalid, NotFound; as `PublishedCopy.fetchObject`
 */
export async function findRoots(
  copy: PublishedCopy,
  repository: Repository,
  index: PublishedIndex | undefined,
  names: readonly string[],
): Promise<FetchRoot[]> {
  const roots = new Map<string, FetchRoot>();
  for (const name of names) {
    const rootName = parseName(name);
    const found =
      index === undefined
        ? [await fetchNamed(copy, repository, rootName)]
        : listed(index, rootName, `${copy.label} has no ${name}`);
    for (const root of found) roots.set(`${root.category}/${root.ref ?? ""}/${root.entry ?? root.id}`, root);
  }
  return [...roots.values()];
}

function listed(index: PublishedIndex, { category, path }: CopyName, otherwise: string): FetchRoot[] {
  const isStream = category === "streams";
  const objects: ReadonlyMap<string, { readonly id: ObjectId }> = isStream ? index.streams : index.images;
  const refs: ReadonlyMap<string, string> = isStream ? index.streamRefs : index.imageRefs;
  const rootOf = (ref: string | undefined, entry: string): FetchRoot => ({
    category,
    id: objects.get(entry)!.id,
    ref,
    entry,
  });
  if (path !== REFS && !path.startsWith(`${REFS}/`)) {
    if (objects.has(path)) return [rootOf(undefined, path)];
    throw new CfsError("NotFound", otherwise);
  }
  const name = path.slice(REFS.length + 1);
  const exact = refs.get(name);
  if (exact !== undefined) return [rootOf(name, exact)];
  const below = [...refs].filter(([ref]) => name === "" || ref.startsWith(`${name}/`));
  if (below.length > 0) return below.map(([ref, entry]) => rootOf(ref, entry));
  const some = [...refs.keys()]
    .slice(0, NAMES_SHOWN)
    .map((ref) => `${isStream ? "" : "images/"}${REFS}/${ref}`);
  const more = refs.size > NAMES_SHOWN ? ", …" : "";
  throw new CfsError(
    "NotFound",
    otherwise,
    some.length === 0 ? {} : { hint: `it has ${some.join(", ")}${more}` },
  );
}

/** Asks a server that says nothing about what it has. */
async function fetchNamed(
  copy: PublishedCopy,
  repository: Repository,
  { category, path }: CopyName,
): Promise<FetchRoot> {
  const what = `${category}/${path}`;
  const id = await lookUpObject(copy, repository, category, path);
  const isRef = path.startsWith(`${REFS}/`);
  const ref = isRef ? path.slice(REFS.length + 1) : undefined;
  if (ref !== undefined) refComponents(ref);
  else if (category === "streams") checkContentId(path);
  else if (path !== id)
    throw new CfsError("Corrupt", `${copy.label}: ${what} is another image than its name says`);
  return { category, id, ref, entry: isRef ? undefined : path };
}

/**
 * Asks a server which object an entry or a ref leads to. Where it sends the object itself, that is stored.
 * @param path below the category.
 * @throws CfsError as `PublishedCopy.fetchObject`
 */
export async function lookUpObject(
  copy: PublishedCopy,
  repository: Repository,
  category: Category,
  path: string,
): Promise<ObjectId> {
  const what = `${category}/${path}`;
  return await copy.fetcher.fetch({ path: publishedLinkPath(category, path), what }, async (reply) => {
    if (reply.headers.get("content-type") !== LINK_MEDIA_TYPE) return storeBody(reply, repository, what);
    const target = await reply.bytes(MAX_LINK, what);
    try {
      return objectOfTarget(Buffer.from(target).latin1Slice(), repository.algorithm);
    } catch (error) {
      throw withContext(`${copy.label}: ${what}`, error);
    }
  });
}

/** Stores what is sent under the digest that it has. */
async function storeBody(reply: Reply, { objects, algorithm }: Repository, what: string): Promise<ObjectId> {
  const file = objects.begin();
  const hasher = new VerityHasher(algorithm);
  try {
    for await (const piece of reply.chunks()) {
      if (hasher.size + piece.length > MAX_OBJECT_SIZE) throw new CfsError("Corrupt", `${what} does not end`);
      hasher.update(piece);
      writeAll(file.fd, piece, "objects");
    }
  } catch (error) {
    objects.abandon(file);
    throw error;
  }
  const { size } = hasher;
  const id = hasher.digest();
  objects.commit(file, id, size);
  return id;
}
