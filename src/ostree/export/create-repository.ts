import { fromText } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import { openDirectory, readDirectory } from "../../sys/dir.ts";
import type { Fd } from "../../sys/fd.ts";
import {
  AT_FDCWD,
  fsync,
  mkdirat,
  O_CREAT,
  O_EXCL,
  O_WRONLY,
  openat,
  pathBytes,
  renameat,
  writeAll,
} from "../../sys/file.ts";
import type { RepositoryMode } from "../source.ts";

/** As `ostree init` makes them. */
const DIRECTORIES = [
  "extensions",
  "objects",
  "refs",
  "refs/heads",
  "refs/mirrors",
  "refs/remotes",
  "state",
  "tmp",
  "tmp/cache",
];
const DIRECTORY_MODE = 0o755;
const CONFIG = "config";
const NEW_CONFIG = "tmp/config.new";

/**
 * Makes an ostree repository in a directory that does not exist yet, or is empty.
 * @throws CfsError Exists when something else is in it
 */
export function createOstreeRepository(path: string, mode: RepositoryMode): void {
  try {
    mkdirat(AT_FDCWD, pathBytes(path), DIRECTORY_MODE);
    using top = openDirectory(AT_FDCWD, pathBytes(path), path);
    expectEmpty(top);
    for (const directory of DIRECTORIES) mkdirat(top.fd, directory, DIRECTORY_MODE);
    // Last: without it nothing takes the directory for a repository.
    writeConfig(top, mode);
  } catch (error) {
    throw withContext(`cannot create an ostree repository at ${path}`, error);
  }
}

/** What an attempt that was interrupted has left may be there. */
function expectEmpty(top: Fd): void {
  for (const { name } of readDirectory(top)) {
    if (!DIRECTORIES.includes(name)) throw new CfsError("Exists", "the directory is not empty");
  }
}

function writeConfig(top: Fd, mode: RepositoryMode): void {
  // The name that all versions of ostree know.
  const name = mode === "archive" ? "archive-z2" : mode;
  const text = `[core]\nrepo_version=1\nmode=${name}\n`;
  {
    using file = openat(top.fd, NEW_CONFIG, O_WRONLY | O_CREAT | O_EXCL, 0o644);
    writeAll(file.fd, Buffer.from(fromText(text), "latin1"), NEW_CONFIG);
    fsync(file);
  }
  renameat(top.fd, NEW_CONFIG, top.fd, CONFIG);
  fsync(top);
}
