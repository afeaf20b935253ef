import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { linkTarget, resolveObject } from "../repository/links.ts";
import { baseName, type Category, REFS } from "../repository/names.ts";
import type { Repository } from "../repository/repository.ts";
import { pread, writeAll } from "../sys/file.ts";
import type { ObjectId } from "../verity/digest.ts";
import { VerityHasher } from "../verity/merkle.ts";

/** Another copy of a repository, wherever it is. Nothing of it is trusted but what has the right digest. */
export interface ObjectSource extends Disposable {
  /** For messages. */
  readonly label: string;
  /**
   * Stores an object that is missing.
   * @returns false when the copy has none of this digest, or a damaged one.
   */
  fetchObject(repository: Repository, id: ObjectId): Promise<boolean>;
  /** The object of an entry directly below `streams/` or `images/`. */
  entry(category: Category, name: ByteString): Promise<ObjectId | undefined>;
  /**
   * The entry that a ref points to.
   * @param name below `refs`.
   */
  ref(category: Category, name: ByteString): Promise<ByteString | undefined>;
}

const PIECE = 1024 * 1024;

/** A repository on this machine. */
export class RepositorySource implements ObjectSource {
  readonly label: string;
  readonly #repository: Repository;
  readonly #buffer = new Uint8Array(PIECE);

  /** @param repository is closed with this. */
  constructor(repository: Repository) {
    this.label = repository.path;
    this.#repository = repository;
  }

  async fetchObject({ objects, algorithm }: Repository, id: ObjectId): Promise<boolean> {
    using source = orUndefined(() => this.#repository.objects.open(id));
    if (source === undefined) return false;
    const file = objects.begin();
    let isSame = false;
    try {
      const hasher = new VerityHasher(algorithm);
      for (;;) {
        // What can't be read there is not to be had from there.
        const length = orUndefined(() => pread(source.fd, this.#buffer, hasher.size, source.path)) ?? 0;
        if (length === 0) break;
        const piece = this.#buffer.subarray(0, length);
        hasher.update(piece);
        writeAll(file.fd, piece, "objects");
      }
      const { size } = hasher;
      isSame = hasher.digest() === id;
      if (isSame) objects.commit(file, id, size);
      return isSame;
    } finally {
      if (!isSame) objects.abandon(file);
    }
  }

  async entry(category: Category, name: ByteString): Promise<ObjectId | undefined> {
    const { dir, algorithm } = this.#repository;
    return orUndefined(() => resolveObject(dir, [category, name], algorithm));
  }

  async ref(category: Category, name: ByteString): Promise<ByteString | undefined> {
    const { fd } = this.#repository.dir;
    const target = orUndefined(() => linkTarget(fd, `${category}/${REFS}/${name}`));
    return target === undefined ? undefined : baseName(target);
  }

  [Symbol.dispose](): void {
    this.#repository[Symbol.dispose]();
  }
}

/** Another repository may be damaged as well. */
function orUndefined<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}
