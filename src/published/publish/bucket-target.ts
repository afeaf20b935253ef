import { createHash } from "node:crypto";
import { CfsError, withContext } from "../../errors.ts";
import { concurrently } from "../../parallel/concurrently.ts";
import { formatMeta, META_NAME } from "../../repository/meta.ts";
import type { Category } from "../../repository/names.ts";
import { isIntactObject, parseObjectIdParts } from "../../repository/object-check.ts";
import type { Repository } from "../../repository/repository.ts";
import { pread } from "../../sys/file.ts";
import { type Algorithm, formatObjectId, type ObjectId } from "../../verity/digest.ts";
import { emptyIndex, formatIndex, type PublishedIndex, parseIndex } from "../index-format.ts";
import { INDEX_NAME, LINK_MEDIA_TYPE, publishedLinkPath, publishedObjectPath } from "../layout.ts";
import { ObjectSizes } from "../object-sizes.ts";
import { MAX_INDEX_SIZE } from "../published-copy.ts";
import type { Bucket } from "./s3.ts";
import type { ObjectAmount, PublishTarget } from "./target.ts";

/** Larger objects are uploaded in parts. */
const SMALL = 4 * 1024 * 1024;
/** Small ones under way at a time. */
const CONNECTIONS = 8;
const PIECE = 1024 * 1024;
const OBJECT_TYPE = "application/octet-stream";
const JSON_TYPE = "application/json";

/** A bucket from which a web server, or the service itself, serves what was published. */
export class BucketTarget implements PublishTarget {
  readonly #bucket: Bucket;
  /** What is there: objects with their sizes, and the ETags of all else by key. */
  #objects: ObjectSizes | undefined;
  readonly #others = new Map<string, string>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  async open({ algorithm }: Repository): Promise<PublishedIndex> {
    const bytes = await this.#bucket.get(INDEX_NAME, MAX_INDEX_SIZE);
    if (bytes !== undefined) {
      let index: PublishedIndex;
      try {
        index = parseIndex(bytes);
      } catch (error) {
        throw withContext(this.#bucket.label, error);
      }
      await this.#list(index.algorithm);
      return index;
    }
    for await (const { key } of this.#bucket.entries())
      throw new CfsError("Exists", `${this.#bucket.label} is not empty, and nothing was published there`, {
        hint: `it has ${key}; name a prefix of its own: s3://BUCKET/PREFIX`,
      });
    const index = emptyIndex(algorithm);
    await this.writeIndex(index);
    this.#objects = new ObjectSizes(algorithm);
    return index;
  }

  async missing(objects: ObjectSizes): Promise<ObjectSizes> {
    const present = this.#present;
    const missing = new ObjectSizes(present.algorithm);
    for (const [id, size] of objects) if (present.get(id)?.exact !== size.exact) missing.add(id, size);
    return missing;
  }

  async copyObjects(
    repository: Repository,
    objects: ObjectSizes,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const ofSize = function* (isSmall: boolean) {
      for (const [id, { exact }] of objects) if (exact! <= SMALL === isSmall) yield [id, exact!] as const;
    };
    await concurrently(
      ofSize(true),
      CONNECTIONS,
      async ([id, size]) => {
        await this.#bucket.put(publishedObjectPath(id), repository.objects.read(id, size), OBJECT_TYPE);
        onBytes(size);
      },
      () => this.#bucket.abort(),
    );
    for (const [id, size] of ofSize(false)) {
      if (!isIntactObject(repository, id))
        throw new CfsError("Corrupt", `object ${formatObjectId(id, repository.algorithm)} is damaged`, {
          hint: "run `cfsctl fsck` to find out what is wrong, and pull it again",
        });
      const pieces = () => piecesOf(repository, id, onBytes);
      await this.#bucket.putLarge(publishedObjectPath(id), size, pieces, OBJECT_TYPE);
    }
  }

  async link(
    { meta }: Repository,
    { streams, images, streamRefs, imageRefs }: PublishedIndex,
  ): Promise<void> {
    if (!this.#others.has(META_NAME))
      await this.#bucket.put(META_NAME, Buffer.from(formatMeta(meta)), JSON_TYPE);
    await this.#link(
      "streams",
      [...streams].map(([name, { id }]) => [name, id] as const),
    );
    await this.#link(
      "images",
      [...images.keys()].map((id) => [id, id] as const),
    );
    await this.#link(
      "streams",
      [...streamRefs].map(([name, entry]) => [`refs/${name}`, streams.get(entry)!.id] as const),
    );
    await this.#link(
      "images",
      [...imageRefs].map(([name, id]) => [`refs/${name}`, id] as const),
    );
  }

  async #link(category: Category, links: readonly (readonly [string, ObjectId])[]): Promise<void> {
    const changed = links.flatMap(([name, id]) => {
      const key = publishedLinkPath(category, name);
      const body = Buffer.from(`../${publishedObjectPath(id)}`);
      return this.#others.get(key) === md5(body) ? [] : [{ key, body }];
    });
    await concurrently(
      changed,
      CONNECTIONS,
      ({ key, body }) => this.#bucket.put(key, body, LINK_MEDIA_TYPE),
      () => this.#bucket.abort(),
    );
  }

  async writeIndex(index: PublishedIndex): Promise<void> {
    await this.#bucket.put(INDEX_NAME, Buffer.from(formatIndex(index)), JSON_TYPE);
  }

  async prune(index: PublishedIndex, objects: ObjectSizes): Promise<ObjectAmount> {
    const kept = new Set<string>([
      ...[...index.streams.keys()].map((name) => publishedLinkPath("streams", name)),
      ...[...index.images.keys()].map((name) => publishedLinkPath("images", name)),
      ...[...index.streamRefs.keys()].map((name) => publishedLinkPath("streams", `refs/${name}`)),
      ...[...index.imageRefs.keys()].map((name) => publishedLinkPath("images", `refs/${name}`)),
    ]);
    // Refs before what they point to.
    const links = [...this.#others.keys()].filter((key) => /^(streams|images)\//.test(key) && !kept.has(key));
    const isRef = (key: string) => /^[a-z]+\/refs\//.test(key);
    const remove = (key: string) => this.#bucket.remove(key);
    const abort = () => this.#bucket.abort();
    for (const group of [links.filter(isRef), links.filter((key) => !isRef(key))])
      await concurrently(group, CONNECTIONS, remove, abort);
    const amount: ObjectAmount = { objects: 0, bytes: 0 };
    const present = this.#present;
    const dead = function* () {
      for (const [id, { exact }] of present) if (!objects.has(id)) yield [id, exact!] as const;
    };
    await concurrently(
      dead(),
      CONNECTIONS,
      async ([id, size]) => {
        await remove(publishedObjectPath(id));
        amount.objects++;
        amount.bytes += size;
      },
      abort,
    );
    return amount;
  }

  async #list(algorithm: Algorithm): Promise<void> {
    const objects = new ObjectSizes(algorithm);
    for await (const { key, size, etag } of this.#bucket.entries()) {
      const match = /^objects\/([0-9a-f]{2})\/([0-9a-f]+)$/.exec(key);
      if (match !== null && match[2]!.length === algorithm.size * 2 - 2)
        objects.add(parseObjectIdParts(match[1]!, match[2]!, algorithm), { exact: size });
      else this.#others.set(key, etag);
    }
    this.#objects = objects;
  }

  get #present(): ObjectSizes {
    if (this.#objects === undefined) throw new TypeError("it has not been opened");
    return this.#objects;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket.abort();
  }
}

function* piecesOf(
  repository: Repository,
  id: ObjectId,
  onBytes: (bytes: number) => void,
): Generator<Uint8Array<ArrayBuffer>> {
  using file = repository.objects.open(id);
  for (let at = 0; ; ) {
    // Each is a buffer of its own: it is not known when the upload has taken it.
    const piece = new Uint8Array(PIECE);
    const length = pread(file.fd, piece, at, file.path);
    if (length > 0) yield length === PIECE ? piece : piece.slice(0, length);
    onBytes(length);
    at += length;
    if (length < PIECE) return;
  }
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}
