import { CfsError, withContext } from "../errors.ts";
import { EACCES, EROFS } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import {
  check,
  flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  O_DIRECTORY,
  O_RDONLY,
  open,
  tryAccessat,
  W_OK,
} from "../sys/file.ts";
import { fstatfs } from "../sys/stat.ts";
import { type Algorithm, algorithmOf, type HashName } from "../verity/digest.ts";
import { inferLegacy } from "./legacy.ts";
import {
  type ErofsVersion,
  effectiveErofsVersion,
  META_NAME,
  newMeta,
  quotedList,
  type RepositoryMeta,
  unknownWriteFeatures,
} from "./meta.ts";
import { prepareMeta, readMetaFile } from "./meta-file.ts";
import { ObjectStore } from "./objects.ts";

export interface OpenOptions {
  /** The hash that the repository must have. */
  readonly hash?: HashName;
  /** Tolerate objects without fs-verity although the repository was made to require it. */
  readonly insecure?: boolean;
  /** Refuse a repository that does not require fs-verity. */
  readonly requireVerity?: boolean;
  /** Whether a repository without meta.json, from before that file existed, is understood (default) or refused. */
  readonly upgrade?: boolean;
  /** Format of images made while this is open, whatever meta.json says. */
  readonly erofsVersion?: ErofsVersion;
  /** Nothing in it has to outlive this process, so that there is no waiting for the disk. */
  readonly isTemporary?: boolean;
  /** Called before blocking on a lock that somebody else holds. */
  readonly onWait?: (message: string) => void;
  /** Receives sentences that the user should see. */
  readonly onNotice?: (message: string) => void;
}

/** An open repository. It holds a shared lock, so that nothing is collected as garbage under its user's feet. */
export class Repository implements Disposable {
  readonly path: string;
  /** The directory itself. */
  readonly dir: Fd;
  readonly algorithm: Algorithm;
  /** Every object must have fs-verity. */
  readonly secure: boolean;
  readonly meta: RepositoryMeta;
  readonly objects: ObjectStore;
  readonly #options: OpenOptions;
  #metaFileExists: boolean;

  private constructor(path: string, dir: Fd, found: FoundMeta, options: OpenOptions) {
    this.path = path;
    this.dir = dir;
    this.meta = found.meta;
    this.algorithm = found.meta.algorithm;
    this.secure = found.verity && !options.insecure;
    this.#metaFileExists = found.fileExists;
    this.#options = options;
    this.objects = new ObjectStore({
      repositoryFd: dir.fd,
      algorithm: this.algorithm,
      verity: this.secure ? "require" : "try",
    });
  }

  /**
   * Opens a repository and takes the shared lock.
   * @param path text; must be a directory with meta.json, or one from before that file existed.
   */
  static open(path: string, options: OpenOptions = {}): Repository {
    let dir: Fd;
    try {
      dir = open(path, O_RDONLY | O_DIRECTORY);
    } catch (error) {
      throw withContext("opening repository", error);
    }
    try {
      // Before meta.json is read: who resets it holds the exclusive lock.
      lock(dir, LOCK_SH, path, options.onWait);
      const found = findMeta(dir, path, options);
      checkExpectations(found, path, options);
      return new Repository(path, dir, found, options);
    } catch (error) {
      dir.close();
      throw error;
    }
  }

  /** False for a repository from before that file existed, until it is written to. */
  get hasMetaFile(): boolean {
    return this.#metaFileExists;
  }

  /** Format of images made in this repository. */
  get erofsVersion(): ErofsVersion {
    return this.#options.erofsVersion ?? effectiveErofsVersion(this.meta);
  }

  /** Whether what is linked has to be on disk. */
  get isTemporary(): boolean {
    return this.#options.isTemporary === true;
  }

  /** All formats that a pull makes images in: the default first. */
  get erofsVersions(): ErofsVersion[] {
    return [...new Set([this.erofsVersion, ...(this.meta.erofsFormats?.extra ?? [])])];
  }

  /**
   * Must be called before anything is changed. Gives a repository from before meta.json existed that file.
   * @throws CfsError Permission when the repository can't be written to, Unsupported when it must not
   */
  ensureWritable(): void {
    checkWritable(this.dir);
    const unknown = unknownWriteFeatures(this.meta);
    if (unknown.length > 0) {
      throw new CfsError(
        "Unsupported",
        `${this.path} has features that forbid writing to tools that do not know them: ${quotedList(unknown)}`,
        { hint: "use a newer version of this tool; reading still works" },
      );
    }
    if (this.#metaFileExists) return;
    using prepared = prepareMeta(this.dir, this.meta, this.secure);
    if (prepared.publish()) {
      this.#options.onNotice?.(
        `${this.path} had no ${META_NAME}; wrote one for ${this.algorithm.id} with EROFS format ${effectiveErofsVersion(this.meta)}`,
      );
    }
    this.#metaFileExists = true;
  }

  /** Waits until nobody else uses the repository, runs `action`, and goes back to the shared lock. */
  exclusively<T>(action: () => T): T {
    lock(this.dir, LOCK_EX, this.path, this.#options.onWait);
    try {
      return action();
    } finally {
      flock(this.dir, LOCK_SH);
    }
  }

  /** Gives up the lock. */
  [Symbol.dispose](): void {
    this.objects.close();
    this.dir.close();
  }
}

/** Takes a lock on a repository's directory, saying so when it has to wait. */
export function lock(dir: Fd, operation: number, path: string, onWait?: (message: string) => void): void {
  if (flock(dir, operation | LOCK_NB)) return;
  const others = operation === LOCK_EX ? "other users" : "a garbage collection or reset";
  onWait?.(`waiting for ${others} of ${path} to finish`);
  flock(dir, operation);
}

/** @throws CfsError Permission */
export function checkWritable(dir: Fd): void {
  const refused = (why: string) => new CfsError("Permission", `${dir.path} is not writable: ${why}`);
  if (fstatfs(dir).readOnly) throw refused("read-only file system");
  const result = tryAccessat(dir.fd, ".", W_OK);
  if (result === -EROFS) throw refused("read-only file system");
  if (result === -EACCES) throw refused("permission denied");
  check(result, "faccessat", dir.path);
}

interface FoundMeta {
  readonly meta: RepositoryMeta;
  readonly verity: boolean;
  readonly fileExists: boolean;
}

function findMeta(dir: Fd, path: string, options: OpenOptions): FoundMeta {
  const file = readMetaFile(dir);
  if (file !== undefined) return { meta: file.meta, verity: file.verity, fileExists: true };
  if (options.upgrade === false) {
    throw new CfsError(
      "NotFound",
      `${path} has no ${META_NAME}; this repository must be initialized with \`cfsctl init\``,
    );
  }
  const legacy = inferLegacy(dir, path);
  return { meta: newMeta(legacy.algorithm, 1), verity: legacy.verity, fileExists: false };
}

function checkExpectations(found: FoundMeta, path: string, options: OpenOptions): void {
  const { algorithm } = found.meta;
  if (options.hash !== undefined && algorithmOf(options.hash) !== algorithm) {
    throw new CfsError(
      "Invalid",
      `${path} is configured for ${algorithm.id} (from ${found.fileExists ? META_NAME : "its objects"}) but --hash ${options.hash} was specified`,
    );
  }
  if (options.requireVerity && (!found.verity || options.insecure)) {
    throw new CfsError("Invalid", `${path} does not require fs-verity`, {
      hint: "create it anew with `cfsctl init` on a file system with fs-verity, and without --insecure",
    });
  }
}
