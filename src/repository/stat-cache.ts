import type { FileStatus } from "../sys/stat.ts";
import type { Stat, Xattrs } from "../tree/model.ts";

/** A power of two. */
const SLOTS = 4096;

/**
 * Gives files with equal metadata the same object: the files of a package mostly have one owner, mode and time. It
 * forgets what it gave long ago.
 */
export class StatCache {
  readonly #stats: (Stat | undefined)[] = new Array(SLOTS).fill(undefined);
  /** Of the same numbers as `#stats`: the time in a form that compares quickly. */
  readonly #seconds = new Float64Array(SLOTS);

  of(status: FileStatus, xattrs: Xattrs): Stat {
    const { uid, gid, mtime, mtimeNsec } = status;
    const mode = status.mode & 0o7777;
    const slot = (mode ^ (mtime * 31) ^ (mtimeNsec >>> 4) ^ (uid << 3) ^ (gid << 5)) & (SLOTS - 1);
    const known = this.#stats[slot];
    if (
      known !== undefined &&
      this.#seconds[slot] === mtime &&
      known.mtimeNsec === mtimeNsec &&
      known.mode === mode &&
      known.uid === uid &&
      known.gid === gid &&
      known.xattrs === xattrs
    )
      return known;
    const stat: Stat = { mode, uid, gid, mtime: BigInt(mtime), mtimeNsec, xattrs };
    this.#stats[slot] = stat;
    this.#seconds[slot] = mtime;
    return stat;
  }
}
