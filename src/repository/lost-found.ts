import { type ByteString, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { listDirectory, openDirectory } from "../sys/dir.ts";
import { ENOTEMPTY, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { AT_REMOVEDIR, flock, fsync, LOCK_EX, LOCK_NB, mkdirat, renameat, unlinkat } from "../sys/file.ts";
import { emptyStatus, tryFstatat } from "../sys/stat.ts";
import { isObjectId, type ObjectId, objectPath } from "../verity/digest.ts";
import { openDirectoryPath } from "./links.ts";
import { MAX_ENTRIES } from "./refs.ts";
import type { Repository } from "./repository.ts";

/** Below the repository: where a repair puts what it takes away. Nothing of it is ever used, or collected. */
export const LOST_FOUND = "lost+found";
/** Below that: damaged objects, until something takes their place. */
const DAMAGED = "damaged";
const DIRECTORY_MODE = 0o700;

/**
 * The directory `lost+found`. Who has it open is the only one who repairs; if nothing is in it at the end, it is
 * removed.
 */
export class LostAndFound implements Disposable {
  readonly #repository: Repository;
  readonly #directory: Fd;
  readonly #damaged: Fd;

  /** @throws CfsError Io when another process repairs the repository */
  constructor(repository: Repository) {
    this.#repository = repository;
    const { dir } = repository;
    mkdirat(dir.fd, LOST_FOUND, DIRECTORY_MODE);
    this.#directory = openDirectory(dir.fd, LOST_FOUND);
    if (!flock(this.#directory, LOCK_EX | LOCK_NB)) {
      this.#directory.close();
      throw new CfsError("Io", `${repository.path} is being repaired by another process`, {
        hint: "wait until it has ended",
      });
    }
    mkdirat(this.#directory.fd, DAMAGED, DIRECTORY_MODE);
    this.#damaged = openDirectory(this.#directory.fd, DAMAGED);
  }

  /** Takes a damaged object out of the way, so that it counts as missing. False when it is not there. */
  takeObject(id: ObjectId): boolean {
    const { fd } = this.#repository.dir;
    const path = `objects/${objectPath(id)}`;
    if (tryFstatat(fd, path, emptyStatus()) !== 0) return false;
    renameat(fd, path, this.#damaged.fd, id);
    return true;
  }

  /**
   * Puts damaged objects back where nothing has taken their place, also those of an interrupted repair: what is left
   * of them may be all there is. The others are removed.
   */
  returnObjects(): void {
    const { dir, algorithm, objects } = this.#repository;
    for (const { name } of listDirectory(this.#damaged, MAX_ENTRIES)) {
      if (!isObjectId(name, algorithm)) continue;
      if (objects.has(name)) unlinkat(this.#damaged.fd, name);
      else renameat(this.#damaged.fd, name, dir.fd, `objects/${objectPath(name)}`);
    }
  }

  /**
   * Moves something that does not belong where it is.
   * @param path below the repository.
   * @returns where it is now, below the repository.
   */
  move(path: ByteString): ByteString {
    const components = path.split("/");
    const name = components.pop()!;
    using from = openDirectoryPath(this.#repository.dir, components, false);
    using to = openDirectoryPath(this.#repository.dir, [LOST_FOUND, ...components], true);
    let free = name;
    for (let n = 1; tryFstatat(to.fd, free, emptyStatus()) === 0; n++) free = `${name}.${n}`;
    renameat(from.fd, name, to.fd, free);
    fsync(to);
    return display([LOST_FOUND, ...components, free].join("/"));
  }

  [Symbol.dispose](): void {
    this.#damaged.close();
    removeIfEmpty(this.#directory, DAMAGED);
    this.#directory.close();
    removeIfEmpty(this.#repository.dir, LOST_FOUND);
  }
}

function removeIfEmpty(parent: Fd, name: string): void {
  try {
    unlinkat(parent.fd, name, AT_REMOVEDIR);
  } catch (error) {
    if (!isErrno(error, ENOTEMPTY)) throw error;
  }
}
