import { fromText } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import { openDirectoryPath } from "../../repository/links.ts";
import { temporaryName } from "../../repository/temporary.ts";
import { openDirectory } from "../../sys/dir.ts";
import type { Fd } from "../../sys/fd.ts";
import {
  AT_FDCWD,
  existsat,
  fsync,
  O_CREAT,
  O_EXCL,
  O_RDWR,
  O_WRONLY,
  openat,
  pathBytes,
  renameat,
  syncfs,
  unlinkat,
  writeAll,
} from "../../sys/file.ts";
import { lockOpenFile } from "../../sys/ofd-lock.ts";
import type { Checksum } from "../checksum.ts";
import { mergeDetachedMetadata } from "../detached-metadata.ts";
import { objectFile } from "../local/open-file.ts";
import { LocalRepository } from "../local/repository.ts";
import type { RepositoryMode } from "../source.ts";
import { createOstreeRepository } from "./create-repository.ts";

/** Modes of repositories that can be written to. */
export const EXPORT_MODES = ["archive", "bare", "bare-user", "bare-user-only"] as const;
export type ExportMode = (typeof EXPORT_MODES)[number];

/** Who adds objects holds this file's lock together with others; who removes some, alone (libostree's locking). */
const LOCK = ".lock";

/** What libostree allows as a ref (`OSTREE_REF_REGEXP` in its ostree-core.c). */
const REF = /^[A-Za-z0-9_][-._A-Za-z0-9]*(\/[A-Za-z0-9_][-._A-Za-z0-9]*)*$/;

/** @throws CfsError Invalid for what ostree does not take as a ref. */
export function checkOstreeRef(ref: string): void {
  if (REF.test(ref)) return;
  throw new CfsError("Invalid", `'${ref}' can't be a ref in an ostree repository`, {
    hint: "refs are letters, digits, '-', '.', '_' and '/', and no part begins with '-' or '.'",
  });
}

/** An ostree repository that is written to. */
export class ExportTarget implements AsyncDisposable {
  readonly path: string;
  readonly mode: ExportMode;
  /** The directories `objects/` and `tmp/`, valid in all threads of the process. */
  readonly objectsFd: number;
  readonly tmpFd: number;
  readonly #source: LocalRepository;
  readonly #top: Fd;
  readonly #tmp: Fd;
  readonly #lock: Fd;

  private constructor(path: string, mode: ExportMode, source: LocalRepository, top: Fd, tmp: Fd, lock: Fd) {
    this.path = path;
    this.mode = mode;
    this.objectsFd = source.files.objectsFd;
    this.tmpFd = tmp.fd;
    this.#source = source;
    this.#top = top;
    this.#tmp = tmp;
    this.#lock = lock;
  }

  /**
   * Waits while somebody removes objects from the repository, and keeps others from doing so as long as it is open.
   * @param mode the repository is made with, when it is not there; else it must be of this mode.
   * @param onWait called before waiting.
   * @throws CfsError NotFound, Invalid, Unsupported
   */
  static async open(
    path: string,
    mode: ExportMode | undefined,
    onWait: () => void = () => undefined,
  ): Promise<ExportTarget> {
    if (!existsat(AT_FDCWD, `${pathBytes(path)}/config`)) {
      if (mode === undefined) {
        throw new CfsError("NotFound", `there is no ostree repository at ${path}`, {
          hint: `with --mode it is created; MODE is one of ${EXPORT_MODES.join(", ")}`,
        });
      }
      createOstreeRepository(path, mode);
    }
    const source = LocalRepository.open(path);
    try {
      const found = exportMode(path, source.mode);
      if (mode !== undefined && found !== mode)
        throw new CfsError("Invalid", `the ostree repository at ${path} is of mode ${found}, not ${mode}`);
      using stack = new DisposableStack();
      const top = stack.use(openDirectory(AT_FDCWD, pathBytes(path), path));
      const tmp = stack.use(openDirectoryPath(top, ["tmp"], true));
      const lock = stack.use(openat(top.fd, LOCK, O_RDWR | O_CREAT, 0o640, `${path}/${LOCK}`));
      if (!lockOpenFile(lock, "shared", false)) {
        onWait();
        lockOpenFile(lock, "shared", true);
      }
      const target = new ExportTarget(path, found, source, top, tmp, lock);
      stack.move();
      return target;
    } catch (error) {
      await source[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Waits until all that was written is on disk. */
  sync(): void {
    syncfs(this.#top);
  }

  /** Points `refs/heads/REF` to a commit that is there, in one step. @throws CfsError Invalid */
  writeRef(ref: string, commit: Checksum): void {
    checkOstreeRef(ref);
    const components = ["refs", "heads", ...ref.split("/")].map(fromText);
    const name = components.pop()!;
    try {
      using parent = openDirectoryPath(this.#top, components, true);
      this.#replace(parent, name, Buffer.from(`${commit}\n`));
    } catch (error) {
      throw withContext(`ref '${ref}' of ${this.path}`, error);
    }
  }

  /** Puts signatures beside a commit, with those that are there already. */
  async writeDetachedMetadata(commit: Checksum, bytes: Uint8Array): Promise<void> {
    const known = await this.#source.readDetachedMetadata(commit);
    const merged = mergeDetachedMetadata(known, bytes);
    if (known !== undefined && Buffer.compare(known, merged) === 0) return;
    const [directory, name] = objectFile(commit, "commitmeta").split("/") as [string, string];
    using parent = openDirectoryPath(this.#top, ["objects", directory], true);
    this.#replace(parent, name, merged);
  }

  /** Makes a file, or puts another in its place, in one step. */
  #replace(parent: Fd, name: string, bytes: Uint8Array): void {
    const temporary = temporaryName("new-");
    try {
      {
        using file = openat(this.tmpFd, temporary, O_WRONLY | O_CREAT | O_EXCL, 0o644);
        writeAll(file.fd, bytes, temporary);
        fsync(file);
      }
      renameat(this.tmpFd, temporary, parent.fd, name);
      fsync(parent);
    } catch (error) {
      unlinkat(this.tmpFd, temporary);
      throw error;
    }
  }

  /** Tells ostree that objects of a commit may be missing, unless all of it is there already. */
  markPartial(commit: Checksum): void {
    if (existsat(this.objectsFd, objectFile(commit, "commit"))) return;
    using state = openDirectoryPath(this.#top, ["state"], true);
    {
      using file = openat(state.fd, partialMark(commit), O_WRONLY | O_CREAT, 0o644);
      fsync(file);
    }
    fsync(state);
  }

  /** Nothing of a commit is missing any more. */
  unmarkPartial(commit: Checksum): void {
    using state = openDirectoryPath(this.#top, ["state"], true);
    if (unlinkat(state.fd, partialMark(commit))) fsync(state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lock.close();
    this.#tmp.close();
    this.#top.close();
    await this.#source[Symbol.asyncDispose]();
  }
}

/** As libostree names it (`_ostree_get_commitpartial_path`). */
function partialMark(commit: Checksum): string {
  return `${commit}.commitpartial`;
}

function exportMode(path: string, mode: RepositoryMode): ExportMode {
  const found = EXPORT_MODES.find((known) => known === mode);
  if (found !== undefined) return found;
  throw new CfsError("Unsupported", `${path}: nothing can be exported to repositories of mode ${mode}`, {
    hint: `the mode must be one of ${EXPORT_MODES.join(", ")}`,
  });
}
