import { removeTree } from "../../../repository/remove-tree.ts";
import { temporaryName } from "../../../repository/temporary.ts";
import { openDirectory } from "../../../sys/dir.ts";
import type { Fd } from "../../../sys/fd.ts";
import {
  fsync,
  mkdirat,
  O_CREAT,
  O_EXCL,
  O_WRONLY,
  openat,
  renameat,
  syncfs,
  unlinkat,
  writeAll,
} from "../../../sys/file.ts";

const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;

/** A new directory in `tmp/` of a repository, where a delta is written before it gets its place. */
export class DeltaOutput implements Disposable {
  /** The directory. */
  readonly directory: Fd;
  readonly #top: Fd;
  readonly #tmp: Fd;
  readonly #name = temporaryName("delta-");
  #isPublished = false;

  /** @param top of the repository; stays open. */
  constructor(top: Fd) {
    this.#top = top;
    mkdirat(top.fd, "tmp", DIRECTORY_MODE);
    this.#tmp = openDirectory(top.fd, "tmp");
    mkdirat(this.#tmp.fd, this.#name, DIRECTORY_MODE);
    this.directory = openDirectory(this.#tmp.fd, this.#name);
  }

  write(name: string, bytes: Uint8Array): void {
    using file = openat(this.directory.fd, name, O_CREAT | O_EXCL | O_WRONLY, FILE_MODE);
    writeAll(file.fd, bytes, file.path);
    fsync(file);
  }

  remove(name: string): void {
    unlinkat(this.directory.fd, name);
  }

  /**
   * Moves the directory to its place. A delta that is there is replaced; in the moment between there is none.
   * @param path `deltas/XX/REST`.
   */
  publish(path: string): void {
    const [deltas, prefix, rest] = path.split("/") as [string, string, string];
    mkdirat(this.#top.fd, deltas, DIRECTORY_MODE);
    mkdirat(this.#top.fd, `${deltas}/${prefix}`, DIRECTORY_MODE);
    using parent = openDirectory(this.#top.fd, `${deltas}/${prefix}`);
    syncfs(this.directory);
    removeTree(parent, rest);
    renameat(this.#tmp.fd, this.#name, parent.fd, rest);
    this.#isPublished = true;
    fsync(parent);
  }

  [Symbol.dispose](): void {
    this.directory.close();
    if (!this.#isPublished) removeTree(this.#tmp, this.#name);
    this.#tmp.close();
  }
}
