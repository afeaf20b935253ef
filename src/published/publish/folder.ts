import { existsSync, readdirSync, statSync } from "node:fs";
import { fromText, toText } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import { ObjectCopier } from "../../repository/copy-object.ts";
import { collectGarbage } from "../../repository/gc.ts";
import { initRepository } from "../../repository/init.ts";
import { linkTarget, placeLink } from "../../repository/links.ts";
import { META_NAME } from "../../repository/meta.ts";
import { type Category, objectTarget } from "../../repository/names.ts";
import { NewFile } from "../../repository/new-file.ts";
import { listRefs, removeRef, writeRef } from "../../repository/refs.ts";
import { lock, Repository } from "../../repository/repository.ts";
import { Fd } from "../../sys/fd.ts";
import {
  fsync,
  LOCK_EX,
  O_NOFOLLOW,
  O_RDONLY,
  open,
  pwriteAll,
  readSmallFile,
  syncfs,
  tryOpenat,
} from "../../sys/file.ts";
import { setMode } from "../../sys/set-status.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { emptyIndex, formatIndex, type PublishedIndex, parseIndex } from "../index-format.ts";
import { INDEX_NAME } from "../layout.ts";
import { ObjectSizes } from "../object-sizes.ts";
import { MAX_INDEX_SIZE } from "../published-copy.ts";
import type { ObjectAmount, PublishTarget } from "./target.ts";

const DIRECTORY_MODE = 0o755;

/** A directory that a web server serves. It is a repository as well. */
export class FolderTarget implements PublishTarget {
  readonly #path: string;
  readonly #share: boolean;
  readonly #onWait: ((message: string) => void) | undefined;
  #opened: Repository | undefined;
  #lock: Fd | undefined;

  /** @param share let it have the same blocks or files as the repository, where that is possible. */
  constructor(path: string, share: boolean, onWait?: (message: string) => void) {
    this.#path = path;
    this.#share = share;
    this.#onWait = onWait;
  }

  /** Waits while others publish there: each writes the index that it has read anew. */
  async open({ algorithm, erofsVersion }: Repository): Promise<PublishedIndex> {
    const path = this.#path;
    if (existsSync(path) && !statSync(path).isDirectory())
      throw new CfsError("Invalid", `${path} is not a directory`);
    const isNew = !existsSync(path) || readdirSync(path).length === 0;
    if (isNew) initRepository(path, { algorithm, erofsVersion, verity: false });
    else if (!existsSync(`${path}/${META_NAME}`)) throw occupied(path);
    this.#lock = open(`${path}/${META_NAME}`, O_RDONLY);
    // Before that of the repository, which others give up for whoever removes something.
    lock(this.#lock, LOCK_EX, path, this.#onWait);
    const repository = Repository.open(path, { ...(this.#onWait && { onWait: this.#onWait }) });
    this.#opened = repository;
    repository.ensureWritable();
    const fd = tryOpenat(repository.dir.fd, INDEX_NAME, O_RDONLY | O_NOFOLLOW);
    if (fd >= 0) {
      using file = new Fd(fd, `${path}/${INDEX_NAME}`);
      try {
        return parseIndex(readSmallFile(file, MAX_INDEX_SIZE));
      } catch (error) {
        throw withContext(path, error);
      }
    }
    if (!isNew) throw occupied(path);
    // A repository is for its owner only; this one is for everybody.
    setMode(repository.dir.fd, DIRECTORY_MODE, path);
    const index = emptyIndex(algorithm);
    await this.writeIndex(index);
    return index;
  }

  async missing(objects: ObjectSizes): Promise<ObjectSizes> {
    const repository = this.#repository;
    const missing = new ObjectSizes(repository.algorithm);
    for (const [id, size] of objects)
      if (!repository.objects.isStored(id, size.exact!)) missing.add(id, size);
    return missing;
  }

  async copyObjects(
    source: Repository,
    objects: ObjectSizes,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const copier = new ObjectCopier(source.objects, this.#repository.objects, this.#share);
    for (const [id] of objects) copier.copy(id, (piece) => onBytes(piece.length));
  }

  async link(_: Repository, { streams, images, streamRefs, imageRefs }: PublishedIndex): Promise<void> {
    const repository = this.#repository;
    const { dir } = repository;
    syncfs(dir);
    const place = (category: Category, name: string, id: ObjectId) => {
      const entry = fromText(name);
      if (linkTarget(dir.fd, `${category}/${entry}`) !== objectTarget(id))
        placeLink(dir, [category, entry], objectTarget(id));
    };
    for (const [name, { id }] of streams) place("streams", name, id);
    for (const [id] of images) place("images", id, id);
    for (const [name, entry] of streamRefs) writeRef(repository, "streams", name, fromText(entry));
    for (const [name, id] of imageRefs) writeRef(repository, "images", name, id);
  }

  async writeIndex(index: PublishedIndex): Promise<void> {
    const { dir } = this.#repository;
    using file = new NewFile(dir);
    pwriteAll(file.fd, Buffer.from(formatIndex(index)), 0, INDEX_NAME);
    fsync(new Fd(file.fd, INDEX_NAME));
    file.place(INDEX_NAME);
    fsync(dir);
  }

  async prune({ streamRefs, imageRefs }: PublishedIndex): Promise<ObjectAmount> {
    const repository = this.#repository;
    for (const [category, kept] of [
      ["streams", streamRefs],
      ["images", imageRefs],
    ] as const)
      for (const { name } of listRefs(repository, category)) {
        const text = toText(name);
        if (text !== undefined && !kept.has(text)) removeRef(repository, category, text);
      }
    // Each of them is published, whatever it depends on elsewhere.
    const { objectsRemoved, bytesRemoved } = collectGarbage(repository);
    return { objects: objectsRemoved, bytes: bytesRemoved };
  }

  get #repository(): Repository {
    if (this.#opened === undefined) throw new TypeError("it has not been opened");
    return this.#opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#opened?.[Symbol.dispose]();
    this.#lock?.close();
  }
}

function occupied(path: string): CfsError {
  return new CfsError("Exists", `${path} is not empty, and nothing was published there`, {
    hint: "name a new directory, or one that was made by `cfsctl publish`",
  });
}
