import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { initRepository } from "../../../repository/init.ts";
import { removeTree } from "../../../repository/remove-tree.ts";
import { Repository } from "../../../repository/repository.ts";
import { temporaryName } from "../../../repository/temporary.ts";
import { DT_DIR, listDirectory } from "../../../sys/dir.ts";
import { SysError } from "../../../sys/errno.ts";
import type { Fd } from "../../../sys/fd.ts";
import {
  flock,
  LOCK_EX,
  LOCK_NB,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  open,
  openat,
} from "../../../sys/file.ts";
import type { Algorithm } from "../../../verity/digest.ts";

const PREFIX = "cfsctl-delta-";
const MAX_ENTRIES = 100_000;

/** A repository for what is needed only for a while. It is removed in the end; if we are killed, by the next one. */
export class TemporaryRepository implements Disposable {
  readonly repository: Repository;
  readonly #parent: Fd;
  readonly #name = temporaryName(PREFIX);

  /** @param directory where there is room for what is to be in it. */
  constructor(directory: string, algorithm: Algorithm) {
    mkdirSync(directory, { recursive: true });
    this.#parent = open(directory, O_RDONLY | O_DIRECTORY);
    removeAbandoned(this.#parent);
    const path = join(directory, this.#name);
    try {
      initRepository(path, { algorithm, erofsVersion: 1, verity: false });
      this.repository = Repository.open(path, { isTemporary: true });
    } catch (error) {
      this.#remove();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.repository[Symbol.dispose]();
    this.#remove();
  }

  #remove(): void {
    removeTree(this.#parent, this.#name);
    this.#parent.close();
  }
}

/** Who uses a repository holds a lock. Directories of other users stay, and so do those that can't be opened. */
function removeAbandoned(parent: Fd): void {
  for (const { name, type } of listDirectory(parent, MAX_ENTRIES)) {
    if (type !== DT_DIR || !name.startsWith(PREFIX)) continue;
    try {
      using directory = openat(parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (flock(directory, LOCK_EX | LOCK_NB)) removeTree(parent, name);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
    }
  }
}
