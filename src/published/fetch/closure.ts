import { concurrently } from "../../parallel/concurrently.ts";
import type { Progress } from "../../progress.ts";
import { isIntactObject } from "../../repository/object-check.ts";
import type { Repository } from "../../repository/repository.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { AmountTask } from "../amount-task.ts";
import { ObjectSizes } from "../object-sizes.ts";
import type { PublishedCopy } from "../published-copy.ts";
import { type KnownSize, readReferences } from "../references.ts";

/** Requests under way at a time. */
const CONNECTIONS = 16;

/** How much was fetched. */
export interface FetchedAmount {
  objects: number;
  bytes: number;
  /** Objects that were there before. */
  present: number;
}

/** All that is needed of some streams and images, and what of it has been fetched. */
export class Closure {
  readonly streams = new Set<ObjectId>();
  readonly images = new Set<ObjectId>();
  readonly amount: FetchedAmount = { objects: 0, bytes: 0, present: 0 };
  readonly #copy: PublishedCopy;
  readonly #repository: Repository;
  readonly #progress: Progress;
  readonly #wanted: ObjectSizes;
  readonly #seen = new Set<ObjectId>();

  constructor(copy: PublishedCopy, repository: Repository, progress: Progress) {
    this.#copy = copy;
    this.#repository = repository;
    this.#progress = progress;
    this.#wanted = new ObjectSizes(repository.algorithm);
  }

  /**
   * Fetches streams and images, and those that streams refer to. What is there is used when it is intact.
   * @param sizes of streams and images that the copy tells of, in bytes.
   * @throws CfsError as `PublishedCopy.fetchObject`
   */
  async fetchReferences(roots: Iterable<ObjectId>, sizes: ReadonlyMap<ObjectId, number>): Promise<void> {
    using task = new AmountTask(this.#progress, "references", "streams and images");
    let level = [...new Set(roots)];
    while (level.length > 0) {
      for (const id of level) this.#seen.add(id);
      const next = new Set<ObjectId>();
      await concurrently(
        level,
        CONNECTIONS,
        async (id) => {
          for (const target of await this.#reference(id, sizes.get(id), task))
            if (!this.#seen.has(target)) next.add(target);
        },
        () => this.#copy.abort(),
      );
      level = [...next];
    }
  }

  async #reference(id: ObjectId, size: number | undefined, task: AmountTask): Promise<readonly ObjectId[]> {
    const repository = this.#repository;
    if (isIntactObject(repository, id)) this.amount.present++;
    else await this.#fetch(id, size === undefined ? {} : { max: size }, task, repository.objects.has(id));
    const { kind, targets } = readReferences(repository, id, (object, known) =>
      this.#wanted.add(object, known),
    );
    if (kind === "stream") this.streams.add(id);
    else if (kind === "image") this.images.add(id);
    return targets;
  }

  /** Fetches all content that the streams and images need. @throws CfsError as `PublishedCopy.fetchObject` */
  async fetchContent(): Promise<void> {
    let missing = 0;
    let total: number | undefined = 0;
    for (const [, { exact }] of this.#missing()) {
      missing++;
      total = total === undefined || exact === undefined ? undefined : total + exact;
    }
    this.amount.present += this.#wanted.length - missing;
    if (missing === 0) return;
    using task = new AmountTask(this.#progress, "objects", `${missing} objects`, total);
    const fetch = ([id, size]: readonly [ObjectId, KnownSize]) => this.#fetch(id, size, task, false);
    await concurrently(this.#missing(), CONNECTIONS, fetch, () => this.#copy.abort());
  }

  *#missing(): Generator<readonly [ObjectId, KnownSize]> {
    const { objects } = this.#repository;
    for (const entry of this.#wanted) {
      const [id, { exact }] = entry;
      if (!(exact === undefined ? objects.has(id) : objects.isStored(id, exact))) yield entry;
    }
  }

  async #fetch(id: ObjectId, { max }: KnownSize, task: AmountTask, replace: boolean): Promise<void> {
    const onBytes = (bytes: number) => task.add(bytes);
    const { size } = await this.#copy.fetchObject(this.#repository, id, { maxSize: max, replace, onBytes });
    this.amount.objects++;
    this.amount.bytes += size;
  }
}
