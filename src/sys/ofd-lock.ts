import { EACCES, EAGAIN, EINTR } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { check } from "./file.ts";
import { libc, orErrno } from "./libc.ts";

/** include/uapi/asm-generic/fcntl.h */
const F_OFD_SETLK = 37;
const F_OFD_SETLKW = 38;
const F_RDLCK = 0;
const F_WRLCK = 1;
/** struct flock: two shorts, padding, start and length as 64 bits, process as 32 bits, padding. */
const FLOCK_SIZE = 32;

/**
 * Takes a lock on an open file that lasts until the descriptor is closed ("open file description lock", fcntl(2)).
 * These are other locks than those of flock(2): neither knows of the other.
 * @param file open for reading to share it, for writing to have it alone.
 * @returns false when `wait` is not set and somebody else holds it.
 */
export function lockOpenFile(file: Fd, kind: "shared" | "exclusive", wait: boolean): boolean {
  const flock = new Uint8Array(FLOCK_SIZE);
  new DataView(flock.buffer).setInt16(0, kind === "shared" ? F_RDLCK : F_WRLCK, true);
  for (;;) {
    const result = orErrno(libc.fcntl(file.fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, flock));
    if (result === -EINTR) continue;
    if (!wait && (result === -EAGAIN || result === -EACCES)) return false;
    check(result, "fcntl", file.path);
    return true;
  }
}
