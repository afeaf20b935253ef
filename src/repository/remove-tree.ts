import type { ByteString } from "../bytes.ts";
import { DT_DIR, listDirectory, openDirectory } from "../sys/dir.ts";
import { ENOENT, ENOTDIR, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { AT_REMOVEDIR, unlinkat } from "../sys/file.ts";

const MAX_ENTRIES = 10_000_000;

/** Removes a file, link or directory with all that is in it; nothing when it is not there. No link is followed. */
export function removeTree(parent: Fd, name: ByteString): void {
  let directory: Fd;
  try {
    directory = openDirectory(parent.fd, name);
  } catch (error) {
    if (isErrno(error, ENOENT)) return;
    // O_DIRECTORY with O_NOFOLLOW: also the answer for symbolic links.
    if (!isErrno(error, ENOTDIR)) throw error;
    unlinkat(parent.fd, name);
    return;
  }
  using opened = directory;
  for (const entry of listDirectory(opened, MAX_ENTRIES)) {
    if (entry.type === DT_DIR) removeTree(opened, entry.name);
    else unlinkat(opened.fd, entry.name);
  }
  unlinkat(parent.fd, name, AT_REMOVEDIR);
}
