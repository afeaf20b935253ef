import { display } from "../bytes.ts";
import { collectObjects } from "../erofs/collect.ts";
import { CfsError } from "../errors.ts";
import { concurrently } from "../parallel/concurrently.ts";
import type { Finding, LinkName } from "../repository/findings.ts";
import { isImageObject, readImageFile } from "../repository/images.ts";
import { linkTarget, placeLink, resolveObject } from "../repository/links.ts";
import { objectTarget, REFS } from "../repository/names.ts";
import { isIntactObject } from "../repository/object-check.ts";
import { entryOfRef } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { openStreamObject } from "../repository/streams.ts";
import { syncfs } from "../sys/file.ts";
import { isObjectId, type ObjectId, objectPath } from "../verity/digest.ts";
import type { Action } from "./actions.ts";
import type { ObjectSource } from "./object-source.ts";
import { checkStreamName } from "./stream-name.ts";

/** Objects that are fetched at a time. */
const AT_A_TIME = 16;

/** Brings back objects and links from other copies of the repository. */
export class Restorer {
  readonly #repository: Repository;
  readonly #source: ObjectSource | undefined;
  readonly #onAction: (action: Action) => void;
  /** What the source does not have. */
  readonly #lacking = new Set<ObjectId>();

  /** @param source without one, only links are put right that say themselves where they have to lead. */
  constructor(repository: Repository, source: ObjectSource | undefined, onAction: (action: Action) => void) {
    this.#repository = repository;
    this.#source = source;
    this.#onAction = onAction;
  }

  /**
   * Fetches what is missing, and what that needs in turn; then puts the links right.
   * @param findings of a check; of damaged objects it is expected that they are out of the way.
   */
  async restore(findings: readonly Finding[]): Promise<void> {
    await this.#objects(findings.flatMap(({ object }) => object ?? []));
    const links = findings.flatMap(({ link }) => link ?? []);
    for (const link of links) if (!isRef(link)) await this.#entry(link);
    for (const link of links) if (isRef(link)) await this.#ref(link);
  }

  /** Also what the fetched ones refer to. */
  async #objects(wanted: readonly ObjectId[]): Promise<void> {
    const { objects } = this.#repository;
    let pending = [...new Set(wanted)];
    while (pending.length > 0) {
      const needed = new Set((await this.#fetchAll(pending)).flatMap((id) => this.#neededBy(id)));
      pending = [...needed].filter((id) => !this.#lacking.has(id) && !objects.has(id));
    }
  }

  #report(path: string): void {
    const where = this.#source?.label;
    this.#onAction({ what: where === undefined ? "linked" : "restored", path, where });
  }

  /** Returns those that have come from the source. */
  async #fetchAll(ids: readonly ObjectId[]): Promise<ObjectId[]> {
    const source = this.#source;
    if (source === undefined) return [];
    const fetched = new Set<ObjectId>();
    const missing = ids.filter((id) => !this.#lacking.has(id) && !this.#repository.objects.has(id));
    try {
      await concurrently(missing, AT_A_TIME, async (id) => {
        if (await source.fetchObject(this.#repository, id)) fetched.add(id);
        else this.#lacking.add(id);
      });
    } finally {
      // Whatever the order in which they arrived, also when the source then failed.
      for (const id of missing) if (fetched.has(id)) this.#report(`objects/${objectPath(id)}`);
    }
    return [...fetched];
  }

  /** What a stream or an image refers to; nothing for all else. */
  #neededBy(id: ObjectId): readonly ObjectId[] {
    const { objects, algorithm } = this.#repository;
    try {
      if (isImageObject(this.#repository, id)) {
        using file = objects.open(id);
        return collectObjects(readImageFile(file), algorithm);
      }
      using stream = openStreamObject(this.#repository, id);
      return [...stream.reader.objectRefs, ...stream.reader.namedRefs.values()];
    } catch (error) {
      if (error instanceof CfsError) return [];
      throw error;
    }
  }

  /** Whether an entry that a finding is about is right now. */
  async #entry(link: LinkName): Promise<boolean> {
    if (isSoundEntry(this.#repository, link)) return true;
    const id = await this.#objectOf(link);
    if (id === undefined) return false;
    const { objects, dir } = this.#repository;
    await this.#objects(objects.has(id) ? this.#neededBy(id) : [id]);
    if (!isRightFor(this.#repository, link, id)) return false;
    syncfs(dir);
    placeLink(dir, [link.category, link.name], objectTarget(id));
    this.#report(`${link.category}/${display(link.name)}`);
    return true;
  }

  /** The name of an image says which object it is; of a stream, the source has to. */
  async #objectOf({ category, name }: LinkName): Promise<ObjectId | undefined> {
    if (category === "images" && isObjectId(name, this.#repository.algorithm)) return name;
    return await this.#source?.entry(category, name);
  }

  /** A ref that leads nowhere: what it leads to comes back, or the source says where it leads. */
  async #ref({ category, name }: LinkName): Promise<void> {
    const { dir } = this.#repository;
    const path = [category, ...name.split("/")];
    const own = entryOfRef(path, linkTarget(dir.fd, path.join("/")) ?? "");
    if (own !== undefined && (await this.#entry({ category, name: own }))) return;
    const entry = await this.#source?.ref(category, name.slice(REFS.length + 1));
    if (entry === undefined || entry === own) return;
    if (!(await this.#entry({ category, name: entry }))) return;
    placeLink(dir, path, "../".repeat(path.length - 2) + entry);
    this.#report(`${category}/${display(name)}`);
  }
}

function isRef({ name }: LinkName): boolean {
  return name.startsWith(`${REFS}/`);
}

/** Whether an entry leads to an object that can be what its name says. */
export function isSoundEntry(repository: Repository, link: LinkName): boolean {
  try {
    const id = resolveObject(repository.dir, [link.category, link.name], repository.algorithm);
    return id !== undefined && isRightFor(repository, link, id);
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

/** Whether an entry of this name may lead to an object. */
export function isRightFor(repository: Repository, { category, name }: LinkName, id: ObjectId): boolean {
  if (!isIntactObject(repository, id)) return false;
  if (category === "streams") return checkStreamName(repository, name, id) === undefined;
  return isImageObject(repository, id) && (name === id || !isObjectId(name, repository.algorithm));
}
