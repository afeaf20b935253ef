import { CfsError } from "../errors.ts";
import type { Fetcher, FetchRequest } from "../http/fetcher.ts";
import type { Reply } from "../http/reply.ts";
import { type Pieces, restOfFile } from "../http/rest-of-file.ts";
import { PartialFile } from "../repository/partial-files.ts";
import type { Repository } from "../repository/repository.ts";
import { ftruncate, pread, pwriteAll } from "../sys/file.ts";
import { formatObjectId, type ObjectId } from "../verity/digest.ts";
import { fsVerityDigest, VerityHasher } from "../verity/merkle.ts";
import { publishedObjectPath } from "./layout.ts";

/** Objects up to this size arrive in memory, and are fetched anew when that was interrupted. */
const SMALL = 1024 * 1024;
const PIECE = 256 * 1024;
/** Bytes; what nothing is known of is not taken to be larger. */
export const MAX_OBJECT_SIZE = 64 * 1024 ** 3;

export interface DownloadOptions {
  /** More bytes than that are refused. */
  readonly maxSize?: number | undefined;
  /** Store it also in place of one that is there: it is known to be damaged. */
  readonly replace?: boolean | undefined;
  /** Told how many bytes have arrived in a piece; those of an interrupted attempt are not counted again. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

export interface DownloadedObject {
  /** Bytes of the whole object. */
  readonly size: number;
  /** False when another process was faster. */
  readonly created: boolean;
}

/**
 * Fetches an object of a published copy. It is stored when its content has the digest that it is named after, and not
 * before. Of larger ones, what has arrived is kept for the next attempt, in the next run too.
 * @throws CfsError NotFound, Corrupt, Network, Permission, Cancelled, each naming the object
 */
export async function downloadObject(
  fetcher: Fetcher,
  repository: Repository,
  id: ObjectId,
  options: DownloadOptions = {},
): Promise<DownloadedObject> {
  return new ObjectDownload(fetcher, repository, id, options).run();
}

class ObjectDownload {
  readonly #fetcher: Fetcher;
  readonly #repository: Repository;
  readonly #id: ObjectId;
  readonly #options: DownloadOptions;
  readonly #request: FetchRequest;
  readonly #maxSize: number;

  constructor(fetcher: Fetcher, repository: Repository, id: ObjectId, options: DownloadOptions) {
    this.#fetcher = fetcher;
    this.#repository = repository;
    this.#id = id;
    this.#options = options;
    this.#request = {
      path: publishedObjectPath(id),
      what: `object ${formatObjectId(id, repository.algorithm)}`,
    };
    this.#maxSize = options.maxSize ?? MAX_OBJECT_SIZE;
  }

  get #partialName(): string {
    return `object-${this.#id}`;
  }

  async run(): Promise<DownloadedObject> {
    if (PartialFile.lengthOf(this.#repository, this.#partialName) > 0) {
      const resumed = await this.#large(undefined);
      if (resumed !== undefined) return resumed;
    }
    const { head, rest } = await this.#fetcher.fetch(this.#request, (reply) => this.#begin(reply));
    if (rest === undefined) return this.#small(head);
    try {
      return (await this.#large({ head, rest }))!;
    } finally {
      await rest.return();
    }
  }

  /** Reads a small object to its end, and the beginning of a larger one. */
  async #begin(reply: Reply): Promise<{ head: Uint8Array<ArrayBufferLike>; rest?: Pieces }> {
    if ((reply.length ?? 0) > this.#maxSize) {
      await reply.discard();
      throw this.#tooLarge();
    }
    const rest = reply.chunks();
    const parts: Uint8Array[] = [];
    let size = 0;
    while (size <= SMALL) {
      const next = await rest.next();
      if (next.done) return { head: Buffer.concat(parts, size) };
      parts.push(new Uint8Array(next.value));
      size += next.value.length;
      if (size > this.#maxSize) {
        await rest.return();
        throw this.#tooLarge();
      }
    }
    return { head: Buffer.concat(parts, size), rest };
  }

  #small(bytes: Uint8Array<ArrayBufferLike>): DownloadedObject {
    const { objects, algorithm } = this.#repository;
    if (fsVerityDigest(bytes, algorithm) !== this.#id) throw this.#damaged();
    this.#options.onBytes?.(bytes.length);
    if (!this.#options.replace) return { size: bytes.length, created: objects.storeKnown(this.#id, bytes) };
    const file = objects.begin();
    try {
      pwriteAll(file.fd, bytes, 0, this.#request.what);
    } catch (error) {
      objects.abandon(file);
      throw error;
    }
    return { size: bytes.length, created: objects.commit(file, this.#id, bytes.length, true) };
  }

  /**
   * @param begun what has arrived, and what follows; undefined to go on where an earlier run stopped.
   * @returns undefined when what that one left is not a part of the object.
   */
  async #large(
    begun: { readonly head: Uint8Array<ArrayBufferLike>; readonly rest: Pieces } | undefined,
  ): Promise<DownloadedObject | undefined> {
    using partial = PartialFile.open(this.#repository, this.#partialName, this.#maxSize);
    const hasher = new VerityHasher(this.#repository.algorithm);
    if (begun === undefined) readInto(hasher, partial);
    else if (partial.length > 0) ftruncate(partial.file, 0);
    const append = (piece: Uint8Array<ArrayBufferLike>) => {
      if (hasher.size + piece.length > this.#maxSize) {
        partial.discard();
        throw this.#tooLarge();
      }
      pwriteAll(partial.file.fd, piece, hasher.size, partial.file.path);
      hasher.update(piece);
      this.#options.onBytes?.(piece.length);
    };
    if (begun !== undefined) append(begun.head);
    for await (const piece of restOfFile(this.#fetcher, this.#request, hasher.size, begun?.rest))
      append(piece);
    const { size } = hasher;
    if (hasher.digest() !== this.#id) {
      partial.discard();
      if (begun === undefined) return undefined;
      throw this.#damaged();
    }
    const { objects } = this.#repository;
    return { size, created: objects.commit(partial.giveTo(objects), this.#id, size, this.#options.replace) };
  }

  #tooLarge(): CfsError {
    return new CfsError("Corrupt", `${this.#at}: it is larger than the ${this.#maxSize} bytes it can have`, {
      hint: "the copy is damaged: publish it again",
    });
  }

  #damaged(): CfsError {
    return new CfsError("Corrupt", `${this.#at}: its content has another digest`, {
      hint: "the copy is damaged: remove this file there and publish it again",
    });
  }

  get #at(): string {
    return `${this.#request.what} from ${this.#fetcher.url.host}`;
  }
}

function readInto(hasher: VerityHasher, { file, length }: PartialFile): void {
  const buffer = new Uint8Array(PIECE);
  while (hasher.size < length) {
    const piece = buffer.subarray(0, Math.min(PIECE, length - hasher.size));
    const read = pread(file.fd, piece, hasher.size, file.path);
    if (read === 0) return;
    hasher.update(piece.subarray(0, read));
  }
}
