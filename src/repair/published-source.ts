import { type ByteString, fromText, toText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { lookUpObject } from "../published/fetch/roots.ts";
import type { PublishedIndex } from "../published/index-format.ts";
import type { PublishedCopy } from "../published/published-copy.ts";
import type { Category } from "../repository/names.ts";
import type { Repository } from "../repository/repository.ts";
import { isObjectId, type ObjectId } from "../verity/digest.ts";
import type { ObjectSource } from "./object-source.ts";

/** A copy on a web server. A server that can't be reached is an error; what it has not, or damaged, is not. */
export class PublishedSource implements ObjectSource {
  readonly label: string;
  readonly #copy: PublishedCopy;
  readonly #target: Repository;
  #index: Promise<PublishedIndex | undefined> | undefined;

  /**
   * @param copy is closed with this.
   * @param target what is to be repaired.
   */
  constructor(copy: PublishedCopy, target: Repository) {
    this.label = copy.label;
    this.#copy = copy;
    this.#target = target;
  }

  async fetchObject(repository: Repository, id: ObjectId): Promise<boolean> {
    await this.#published();
    return (await orUndefined(this.#copy.fetchObject(repository, id))) !== undefined;
  }

  async entry(category: Category, name: ByteString): Promise<ObjectId | undefined> {
    const text = toText(name);
    if (text === undefined) return undefined;
    const index = await this.#published();
    if (index === undefined) return orUndefined(lookUpObject(this.#copy, this.#target, category, text));
    if (category === "streams") return index.streams.get(text)?.id;
    return isObjectId(text, this.#target.algorithm) ? index.images.get(text)?.id : undefined;
  }

  /** Without an index, a server only tells which object a ref leads to, not by which entry. */
  async ref(category: Category, name: ByteString): Promise<ByteString | undefined> {
    const index = await this.#published();
    const refs: ReadonlyMap<string, string> | undefined =
      category === "streams" ? index?.streamRefs : index?.imageRefs;
    const entry = refs?.get(toText(name) ?? "");
    return entry === undefined ? undefined : fromText(entry);
  }

  /** @throws CfsError Invalid when its objects have digests of the other algorithm */
  #published(): Promise<PublishedIndex | undefined> {
    this.#index ??= this.#readIndex();
    return this.#index;
  }

  async #readIndex(): Promise<PublishedIndex | undefined> {
    const index = await this.#copy.index();
    const { algorithm } = this.#target;
    if (index === undefined || index.algorithm === algorithm) return index;
    throw new CfsError("Invalid", `it has objects of ${index.algorithm.id}, but ${algorithm.id} is needed`);
  }

  [Symbol.dispose](): void {
    this.#copy[Symbol.dispose]();
  }
}

/** What a copy does not have, or not as it should be. */
async function orUndefined<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof CfsError && (error.kind === "NotFound" || error.kind === "Corrupt"))
      return undefined;
    throw error;
  }
}
