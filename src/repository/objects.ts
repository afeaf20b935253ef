import { CfsError } from "../errors.ts";
import { S_IFMT, S_IFREG } from "../mode.ts";
import { EACCES, EMLINK, ENOENT, EOPNOTSUPP, EPERM, EXDEV, isErrno } from "../sys/errno.ts";
import { Fd } from "../sys/fd.ts";
import {
  AT_FDCWD,
  check,
  lacksUnnamedFiles,
  linkFd,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  openat,
  pread,
  renameat,
  tryOpenat,
  unlinkat,
  writeAll,
} from "../sys/file.ts";
import { libc } from "../sys/libc.ts";
import { setMode } from "../sys/set-status.ts";
import { emptyStatus, fstat, tryFstatat } from "../sys/stat.ts";
import { enableVerity, measureVerity } from "../sys/verity.ts";
import { type Algorithm, formatObjectId, type ObjectId, objectPath } from "../verity/digest.ts";
import { fsVerityDigest, VerityHasher } from "../verity/merkle.ts";
import { offerFastHash } from "./fast-hash.ts";
import { hashContent } from "./measure-file.ts";
import { temporaryName } from "./temporary.ts";

/** "require": every object has fs-verity. "try": it is turned on where the file system can, and may be missing. */
export type VerityPolicy = "require" | "try";

/** What another thread needs to work on the same object store; descriptors are those of the process. */
export interface ObjectStoreHandle {
  readonly repositoryFd: number;
  readonly algorithm: Algorithm;
  readonly verity: VerityPolicy;
  /** Where in the repository the objects are; `objects` unless given. */
  readonly folder?: string;
}

/** A file that is being written and has no name in the store yet. */
export interface NewObject {
  fd: number;
  /** Name below `objects/` on file systems without O_TMPFILE, else undefined. */
  readonly temporaryName: string | undefined;
}

/** Of files that a killed process may leave in `objects/`. */
export const TEMPORARY_OBJECT_PREFIX = ".tmp-object-";
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/**
 * The only writer below `objects/`. A file appears there under its digest when it is complete, never before; what a
 * killed process leaves behind has no name, or one that begins with `.tmp-object-`.
 */
export class ObjectStore {
  readonly algorithm: Algorithm;
  readonly #repositoryFd: number;
  readonly #verity: VerityPolicy;
  readonly #folder: string;
  #objectsFd: number | undefined;
  /** Learnt from the first attempt: there is no need to ask for every object. */
  #verityUnsupported = false;
  #tmpfileUnsupported = false;
  readonly #status = emptyStatus();

  constructor(handle: ObjectStoreHandle) {
    offerFastHash();
    this.#repositoryFd = handle.repositoryFd;
    this.algorithm = handle.algorithm;
    this.#verity = handle.verity;
    this.#folder = handle.folder ?? "objects";
  }

  get handle(): ObjectStoreHandle {
    return {
      repositoryFd: this.#repositoryFd,
      algorithm: this.algorithm,
      verity: this.#verity,
      folder: this.#folder,
    };
  }

  close(): void {
    if (this.#objectsFd !== undefined) libc.close(this.#objectsFd);
    this.#objectsFd = undefined;
  }

  /** Size of an object in bytes, or undefined when there is none of this id. */
  sizeOf(id: ObjectId): number | undefined {
    const result = tryFstatat(this.#repositoryFd, this.#pathOf(id), this.#status);
    if (result === -ENOENT) return undefined;
    check(result, "statx", this.#pathOf(id));
    return this.#status.size;
  }

  has(id: ObjectId): boolean {
    return this.sizeOf(id) !== undefined;
  }

  /**
   * Opens an object for reading. Where the kernel can tell, its fs-verity digest is compared with the id.
   * @throws CfsError NotFound, or Corrupt when the file is not what its name says.
   */
  open(id: ObjectId): Fd {
    const path = this.#pathOf(id);
    const fd = tryOpenat(this.#repositoryFd, path, O_RDONLY | O_NOFOLLOW);
    if (fd === -ENOENT) {
      throw new CfsError(
        "NotFound",
        `object ${formatObjectId(id, this.algorithm)} is missing from the repository`,
        {
          hint: "pull the image again to bring it back",
        },
      );
    }
    const file = new Fd(check(fd, "openat", path), path);
    try {
      this.#expectMeasurement(file.fd, id, path);
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Whether an object of this size is there, with fs-verity where that is required, so that it need not be stored. */
  isStored(id: ObjectId, size: number): boolean {
    return this.#stateOf(id, size) === "present";
  }

  /** Stores bytes held in memory. `created` is false when the object was there already. */
  storeBytes(data: Uint8Array): { id: ObjectId; created: boolean } {
    const id = fsVerityDigest(data, this.algorithm);
    return { id, created: this.storeKnown(id, data) };
  }

  /**
   * Stores bytes whose digest the caller has computed from these very bytes.
   * @returns false when the object was there already.
   */
  storeKnown(id: ObjectId, data: Uint8Array<ArrayBufferLike>): boolean {
    const state = this.#stateOf(id, data.length);
    return state !== "present" && this.#write(id, data, state === "damaged");
  }

  /** As `storeBytes`, but an object that is there already is read, and replaced when it is damaged. */
  storeVerified(data: Uint8Array): { id: ObjectId; created: boolean } {
    const id = fsVerityDigest(data, this.algorithm);
    let state = this.#stateOf(id, data.length);
    if (state === "present" && !this.#isIntact(id, data.length)) state = "damaged";
    return { id, created: state !== "present" && this.#write(id, data, state === "damaged") };
  }

  #isIntact(id: ObjectId, size: number): boolean {
    try {
      using file = this.open(id);
      return fstat(file).size === size && hashContent(file, this.algorithm) === id;
    } catch (error) {
      if (error instanceof CfsError) return false;
      throw error;
    }
  }

  #write(id: ObjectId, data: Uint8Array<ArrayBufferLike>, replace: boolean): boolean {
    // The inode is best made in the directory it will live in: ext4 then spreads inodes over its block groups.
    const file = this.#create(id.slice(0, 2));
    try {
      writeAll(file.fd, data, this.#pathOf(id));
    } catch (error) {
      this.abandon(file);
      throw error;
    }
    return this.#publish(file, id, replace);
  }

  /** A new file to be filled by the caller, in any order, and then given to `commit` or `abandon`. */
  begin(): NewObject {
    return this.#create(".");
  }

  /**
   * Names a filled file after the digest of its content, which the caller has computed.
   * @param replace what is there, although its size is right: the caller knows that its content is not.
   * @returns false when the object was there already.
   */
  commit(file: NewObject, id: ObjectId, size: number, replace = false): boolean {
    const state = this.#stateOf(id, size);
    if (state === "present" && !replace) {
      this.abandon(file);
      return false;
    }
    return this.#publish(file, id, state !== "absent");
  }

  /**
   * Takes over a file that was filled elsewhere in the repository, to be given to `commit` or `abandon`.
   * @param fd open for writing; the name of the file, if it has one, becomes one below `objects/`.
   */
  adopt(fd: number, name?: { readonly directoryFd: number; readonly path: string }): NewObject {
    setMode(fd, FILE_MODE, this.#folder);
    if (name === undefined) return { fd, temporaryName: undefined };
    const temporary = temporaryName(TEMPORARY_OBJECT_PREFIX);
    renameat(name.directoryFd, name.path, this.#objects(), temporary);
    return { fd, temporaryName: temporary };
  }

  /**
   * Gives a file of another repository a name in this one: both then have the same file.
   * @param file open for reading, and with the content of `id`, which the caller has verified.
   * @returns whether the object is new; undefined when the file can't be shared, and has to be copied.
   */
  tryShare(file: Fd, id: ObjectId, size: number): boolean | undefined {
    const state = this.#stateOf(id, size);
    if (state === "present") return false;
    if (state === "damaged") return undefined;
    if (this.#verity === "require") {
      const measured = measureVerity(file.fd, this.algorithm, file.path);
      if (measured.state !== "measured" || measured.id !== id) return undefined;
    }
    try {
      return this.#link({ fd: file.fd, temporaryName: undefined }, id, false);
    } catch (error) {
      if (isErrno(error, EXDEV, EPERM, EACCES, EMLINK, EOPNOTSUPP)) return undefined;
      throw error;
    }
  }

  abandon(file: NewObject): void {
    libc.close(file.fd);
    if (file.temporaryName !== undefined) unlinkat(this.#objects(), file.temporaryName);
  }

  /**
   * Stores what `produce` writes, piece by piece.
   * @param existing verified: an object that is there already is read, and replaced when it is damaged.
   */
  storeStream(
    produce: (write: (piece: Uint8Array<ArrayBufferLike>) => void) => void,
    existing: "trusted" | "verified" = "trusted",
  ): { id: ObjectId; size: number; created: boolean } {
    const file = this.begin();
    const hasher = new VerityHasher(this.algorithm);
    try {
      produce((piece) => {
        hasher.update(piece);
        writeAll(file.fd, piece, this.#folder);
      });
    } catch (error) {
      this.abandon(file);
      throw error;
    }
    const { size } = hasher;
    const id = hasher.digest();
    const replace = existing === "verified" && !this.#isIntact(id, size);
    return { id, size, created: this.commit(file, id, size, replace) };
  }

  /**
   * Reads a whole object into memory and checks its digest.
   * @throws CfsError Corrupt when it is larger than `max` bytes or damaged.
   */
  read(id: ObjectId, max: number): Uint8Array<ArrayBuffer> {
    using file = this.open(id);
    const { size } = fstat(file);
    if (size > max)
      throw new CfsError("Corrupt", `${file.path}: ${size} bytes are more than the ${max} expected at most`);
    const data = new Uint8Array(size);
    const length = pread(file.fd, data, 0, file.path);
    if (length !== size || fsVerityDigest(data, this.algorithm) !== id) throw this.#damaged(file.path, id);
    return data;
  }

  #stateOf(id: ObjectId, size: number): "absent" | "present" | "damaged" {
    const path = this.#pathOf(id);
    const result = tryFstatat(this.#repositoryFd, path, this.#status);
    if (result === -ENOENT) return "absent";
    check(result, "statx", path);
    if ((this.#status.mode & S_IFMT) !== S_IFREG) {
      throw new CfsError("Corrupt", `${path} is not a regular file`, {
        hint: "remove it and run the command again",
      });
    }
    if (this.#status.size !== size) return "damaged";
    if (this.#verity !== "require") return "present";
    using file = openat(this.#repositoryFd, path, O_RDONLY | O_NOFOLLOW);
    const measured = measureVerity(file.fd, this.algorithm, path);
    return measured.state === "measured" && measured.id === id ? "present" : "damaged";
  }

  /** A descriptor for reading and writing in a directory below `objects/`. */
  #create(directory: string): NewObject {
    const objects = this.#objects();
    if (!this.#tmpfileUnsupported) {
      let fd = tryOpenat(objects, directory, O_TMPFILE | O_RDWR, FILE_MODE);
      if (fd === -ENOENT) {
        mkdirat(objects, directory, DIRECTORY_MODE);
        fd = tryOpenat(objects, directory, O_TMPFILE | O_RDWR, FILE_MODE);
      }
      if (!lacksUnnamedFiles(fd)) {
        return { fd: check(fd, "openat", `${this.#folder}/${directory}`), temporaryName: undefined };
      }
      this.#tmpfileUnsupported = true;
    }
    const name = temporaryName(TEMPORARY_OBJECT_PREFIX);
    const fd = tryOpenat(objects, name, O_CREAT | O_EXCL | O_RDWR, FILE_MODE);
    return { fd: check(fd, "openat", `${this.#folder}/${name}`), temporaryName: name };
  }

  #publish(file: NewObject, id: ObjectId, replace: boolean): boolean {
    try {
      if (!this.#verityUnsupported) this.#seal(file, id);
      return this.#link(file, id, replace);
    } finally {
      this.abandon(file);
    }
  }

  /** Turns fs-verity on; the file's descriptor becomes a read-only one. */
  #seal(file: NewObject, id: ObjectId): void {
    const label = this.#pathOf(id);
    const readOnly = check(tryOpenat(AT_FDCWD, `/proc/self/fd/${file.fd}`, O_RDONLY), "openat", label);
    libc.close(file.fd);
    file.fd = readOnly;
    for (let attempt = 0; ; attempt++) {
      const result = enableVerity(file.fd, this.algorithm, label);
      if (result === "enabled" || result === "already") break;
      if (result === "unsupported") {
        if (this.#verity === "require") {
          throw new CfsError("Unsupported", "the file system of the repository does not support fs-verity", {
            hint: "move the repository to ext4, btrfs or f2fs with the verity feature, or create it with --insecure",
          });
        }
        this.#verityUnsupported = true;
        return;
      }
      // A process that is being started elsewhere may hold our writable descriptor until it calls exec.
      if (attempt === 1000)
        throw new CfsError("Io", `${label}: another process keeps the file open for writing`);
      Bun.sleepSync(1);
    }
    this.#expectMeasurement(file.fd, id, label);
  }

  #link(file: NewObject, id: ObjectId, replace: boolean): boolean {
    const objects = this.#objects();
    const path = objectPath(id);
    if (file.temporaryName === undefined && !replace) {
      try {
        return linkFd(file.fd, objects, path);
      } catch (error) {
        if (!isErrno(error, ENOENT)) throw error;
        mkdirat(objects, id.slice(0, 2), DIRECTORY_MODE);
        return linkFd(file.fd, objects, path);
      }
    }
    const name = file.temporaryName ?? temporaryName(TEMPORARY_OBJECT_PREFIX);
    if (file.temporaryName === undefined) linkFd(file.fd, objects, name);
    mkdirat(objects, id.slice(0, 2), DIRECTORY_MODE);
    renameat(objects, name, objects, path);
    return true;
  }

  #expectMeasurement(fd: number, id: ObjectId, label: string): void {
    if (this.#verity === "try" && this.#verityUnsupported) return;
    const measured = measureVerity(fd, this.algorithm, label);
    if (measured.state === "measured") {
      if (measured.id === id) return;
      throw this.#damaged(label, id);
    }
    if (this.#verity === "require") {
      throw new CfsError("Corrupt", `${label} has no fs-verity, which this repository requires`, {
        hint: "run `cfsctl fsck`, remove the file and pull the image again",
      });
    }
    if (measured.state === "unsupported") this.#verityUnsupported = true;
  }

  #damaged(path: string, id: ObjectId): CfsError {
    return new CfsError(
      "Corrupt",
      `${path} does not have the content of ${formatObjectId(id, this.algorithm)}`,
      {
        hint: "remove the file and pull the image again",
      },
    );
  }

  #pathOf(id: ObjectId): string {
    return `${this.#folder}/${objectPath(id)}`;
  }

  #objects(): number {
    if (this.#objectsFd === undefined) {
      let fd = tryOpenat(this.#repositoryFd, this.#folder, O_RDONLY | O_DIRECTORY);
      if (fd === -ENOENT) {
        mkdirat(this.#repositoryFd, this.#folder, DIRECTORY_MODE);
        fd = tryOpenat(this.#repositoryFd, this.#folder, O_RDONLY | O_DIRECTORY);
      }
      this.#objectsFd = check(fd, "openat", this.#folder);
    }
    return this.#objectsFd;
  }
}
