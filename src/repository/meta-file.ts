import { CfsError, withContext } from "../errors.ts";
import { ENOENT } from "../sys/errno.ts";
import { Fd } from "../sys/fd.ts";
import {
  AT_FDCWD,
  check,
  fsync,
  lacksUnnamedFiles,
  linkFd,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_TMPFILE,
  O_WRONLY,
  openat,
  readSmallFile,
  tryOpenat,
  unlinkat,
  writeAll,
} from "../sys/file.ts";
import { renameNoReplace } from "../sys/rename.ts";
import { enableVerity, measureVerity } from "../sys/verity.ts";
import { formatMeta, MAX_META_SIZE, META_NAME, parseMeta, type RepositoryMeta } from "./meta.ts";

const FILE_MODE = 0o644;

/** Used where the file system has no unnamed files; a second writer finds it and fails. */
const TEMPORARY_NAME = ".meta.json.new";

/**
 * Reads meta.json and asks the kernel whether it has fs-verity, which is what makes a repository require it.
 * @returns undefined when there is none
 */
export function readMetaFile(dir: Fd): { meta: RepositoryMeta; verity: boolean } | undefined {
  const fd = tryOpenat(dir.fd, META_NAME, O_RDONLY | O_NOFOLLOW);
  if (fd === -ENOENT) return undefined;
  using file = new Fd(check(fd, "openat", `${dir.path}/${META_NAME}`), `${dir.path}/${META_NAME}`);
  let meta: RepositoryMeta;
  try {
    meta = parseMeta(readSmallFile(file, MAX_META_SIZE));
  } catch (error) {
    throw withContext(`opening repository ${dir.path}`, error);
  }
  const measured = measureVerity(file.fd, meta.algorithm, file.path);
  if (measured.state === "other") {
    throw new CfsError("Corrupt", `${file.path} says ${meta.algorithm.id}, but ${measured.detail}`, {
      hint: "run `cfsctl init --reset-metadata` with the algorithm of the objects",
    });
  }
  return { meta, verity: measured.state === "measured" };
}

/** A complete meta.json that has no name yet. */
export interface PreparedMeta extends Disposable {
  /** Gives it its name, durably; false when a meta.json exists. */
  publish(): boolean;
}

/**
 * Writes a meta.json without a name, with fs-verity when asked for.
 * @throws CfsError Unsupported when the file system has no fs-verity
 */
export function prepareMeta(dir: Fd, meta: RepositoryMeta, verity: boolean): PreparedMeta {
  const { file, temporaryName } = createUnnamed(dir);
  try {
    const readOnly = seal(dir, file, meta, verity);
    return new Prepared(dir, readOnly, temporaryName);
  } catch (error) {
    if (temporaryName !== undefined) unlinkat(dir.fd, temporaryName);
    throw error;
  }
}

class Prepared implements PreparedMeta {
  readonly #dir: Fd;
  readonly #file: Fd;
  #temporaryName: string | undefined;

  constructor(dir: Fd, file: Fd, temporaryName: string | undefined) {
    this.#dir = dir;
    this.#file = file;
    this.#temporaryName = temporaryName;
  }

  publish(): boolean {
    const created =
      this.#temporaryName === undefined
        ? linkFd(this.#file.fd, this.#dir.fd, META_NAME)
        : renameNoReplace(this.#dir.fd, this.#temporaryName, this.#dir.fd, META_NAME);
    if (created) {
      this.#temporaryName = undefined;
      fsync(this.#dir);
    }
    return created;
  }

  [Symbol.dispose](): void {
    this.#file.close();
    if (this.#temporaryName !== undefined) unlinkat(this.#dir.fd, this.#temporaryName);
  }
}

function createUnnamed(dir: Fd): { file: Fd; temporaryName: string | undefined } {
  const label = `${dir.path}/${META_NAME}`;
  const fd = tryOpenat(dir.fd, ".", O_TMPFILE | O_WRONLY, FILE_MODE);
  if (!lacksUnnamedFiles(fd)) {
    return { file: new Fd(check(fd, "openat", label), label), temporaryName: undefined };
  }
  const file = openat(dir.fd, TEMPORARY_NAME, O_CREAT | O_EXCL | O_WRONLY, FILE_MODE, label);
  return { file, temporaryName: TEMPORARY_NAME };
}

/** Writes the text; the result is a read-only descriptor, for fs-verity tolerates no other. */
function seal(dir: Fd, file: Fd, meta: RepositoryMeta, verity: boolean): Fd {
  const label = file.path;
  let readOnly: Fd;
  {
    using writable = file;
    writeAll(writable.fd, Buffer.from(formatMeta(meta)), label);
    fsync(writable);
    readOnly = openat(AT_FDCWD, `/proc/self/fd/${writable.fd}`, O_RDONLY, 0, label);
  }
  if (!verity) return readOnly;
  try {
    for (let attempt = 0; ; attempt++) {
      const result = enableVerity(readOnly.fd, meta.algorithm, label);
      if (result === "enabled" || result === "already") return readOnly;
      if (result === "unsupported") {
        throw new CfsError("Unsupported", `the file system of ${dir.path} does not support fs-verity`, {
          hint: "use ext4, btrfs or f2fs with the verity feature, or --insecure",
        });
      }
      if (attempt === 1000)
        throw new CfsError("Io", `${label}: another process keeps the file open for writing`);
      Bun.sleepSync(1);
    }
  } catch (error) {
    readOnly.close();
    throw error;
  }
}
