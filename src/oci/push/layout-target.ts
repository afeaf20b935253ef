import { mkdirSync } from "node:fs";
import { CfsError, withContext } from "../../errors.ts";
import { openDirectoryPath } from "../../repository/links.ts";
import { NewFile, tryPlaceUnnamed } from "../../repository/new-file.ts";
import { ELOOP, ENOENT, isErrno } from "../../sys/errno.ts";
import { Fd } from "../../sys/fd.ts";
import {
  flock,
  fsync,
  LOCK_EX,
  LOCK_UN,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  open,
  openat,
  pwriteAll,
  readSmallFile,
  syncfs,
  tryOpenat,
} from "../../sys/file.ts";
import { fstat, isRegular } from "../../sys/stat.ts";
import { digestAlgorithm, digestHex, type OciDigest } from "../digest.ts";
import { MAX_INDEX_SIZE } from "../index.ts";
import { copyFile, hasDigest } from "./file-content.ts";
import { emptyLayoutIndex, LAYOUT_FILE, LAYOUT_FILE_NAME, withTag } from "./layout-index.ts";
import type { Publication, PushTarget, ReadyBlob } from "./target.ts";

const INDEX_NAME = "index.json";
const BLOBS = "blobs";

/**
 * An OCI layout in a directory, a new one or one with images already. No symbolic link in it is followed. Readers see
 * the index as it was or as it will be, and never one that names what is not there yet.
 */
export class LayoutTarget implements PushTarget {
  readonly label: string;
  readonly inOrder = false;
  readonly #path: string;
  readonly #tag: string | undefined;
  /** `blobs/ALGORITHM` by algorithm. */
  readonly #directories = new Map<string, Fd>();
  #openedRoot: Fd | undefined;

  constructor(path: string, tag: string | undefined) {
    this.label = `oci:${path}${tag === undefined ? "" : `:${tag}`}`;
    this.#path = path;
    this.#tag = tag;
  }

  /** Made when there is something to write: an image that can't be read leaves no directory behind. */
  get #root(): Fd {
    if (this.#openedRoot === undefined) {
      mkdirSync(this.#path, { recursive: true });
      this.#openedRoot = open(this.#path, O_RDONLY | O_DIRECTORY);
    }
    return this.#openedRoot;
  }

  get temporaryDirectory(): number {
    return this.#directory("sha256").fd;
  }

  async findBlob(digest: OciDigest, size: number | undefined): Promise<"present" | undefined> {
    const directory = this.#directory(digestAlgorithm(digest));
    const fd = tryOpenat(directory.fd, digestHex(digest), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return undefined;
    using file = new Fd(fd, digest);
    const status = fstat(file);
    if (!isRegular(status) || (size !== undefined && status.size !== size)) return undefined;
    // One that is damaged is replaced.
    return hasDigest(file.fd, status.size, digest) ? "present" : undefined;
  }

  async putBlob(blob: ReadyBlob): Promise<void> {
    const directory = this.#directory(digestAlgorithm(blob.digest));
    const name = digestHex(blob.digest);
    if (blob.isTemporary && tryPlaceUnnamed(blob.fd, directory.fd, name)) return;
    using copy = new NewFile(directory);
    copyFile(blob.fd, copy.fd, 0, blob.size);
    copy.place(name);
  }

  abort(): void {}

  async putDocument({ digest, bytes }: Publication): Promise<void> {
    const directory = this.#directory(digestAlgorithm(digest));
    using file = new NewFile(directory);
    pwriteAll(file.fd, bytes, 0, digest);
    file.place(digestHex(digest));
  }

  async publish(document: Publication): Promise<void> {
    await this.putDocument(document);
    syncfs(this.#root);
    // Another process may be adding an image too.
    flock(this.#root, LOCK_EX);
    try {
      if (this.#read(LAYOUT_FILE_NAME) === undefined) this.#replace(LAYOUT_FILE_NAME, LAYOUT_FILE);
      const index = this.#read(INDEX_NAME) ?? emptyLayoutIndex();
      this.#replace(INDEX_NAME, withTag(index, document, this.#tag));
      fsync(this.#root);
    } finally {
      flock(this.#root, LOCK_UN);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const directory of this.#directories.values()) directory.close();
    this.#openedRoot?.close();
  }

  #directory(algorithm: string): Fd {
    let directory = this.#directories.get(algorithm);
    if (directory === undefined) {
      try {
        directory = openDirectoryPath(this.#root, [BLOBS, algorithm], true);
      } catch (error) {
        throw withContext(`${this.label}: ${BLOBS}/${algorithm} can't be used`, error);
      }
      this.#directories.set(algorithm, directory);
    }
    return directory;
  }

  #read(name: string): Uint8Array | undefined {
    try {
      using file = openat(this.#root.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      if (!isRegular(fstat(file))) throw new CfsError("Invalid", `${name} is not a regular file`);
      return readSmallFile(file, MAX_INDEX_SIZE);
    } catch (error) {
      if (isErrno(error, ENOENT)) return undefined;
      if (isErrno(error, ELOOP)) throw new CfsError("Invalid", `${this.label}: ${name} is a symbolic link`);
      throw withContext(this.label, error);
    }
  }

  #replace(name: string, bytes: Uint8Array): void {
    using file = new NewFile(this.#root);
    pwriteAll(file.fd, bytes, 0, name);
    fsync(new Fd(file.fd, name));
    file.place(name);
  }
}
