import type { FileStatus } from "../sys/stat.ts";
import type { Leaf } from "../tree/model.ts";
import { deviceOf } from "./unchanged-file.ts";

const CHUNK = 1 << 16;

/** Finds out which names are of one file, by device and inode. */
export interface LinkFinder {
  /** The file, when it has been added under another name. */
  find(status: FileStatus): Leaf | undefined;
  add(status: FileStatus, leaf: Leaf): void;
  /** Whether a file was added twice, because `find` didn't find it. */
  readonly hasMissed: boolean;
}

/** Remembers every file: 30 to 60 bytes for each. */
export class ThoroughLinkFinder implements LinkFinder {
  readonly hasMissed = false;
  readonly #devices = new Map<number, Map<number | bigint, Leaf>>();

  find(status: FileStatus): Leaf | undefined {
    return this.#devices.get(deviceOf(status))?.get(status.largeIno ?? status.ino);
  }

  add(status: FileStatus, leaf: Leaf): void {
    const device = deviceOf(status);
    let leaves = this.#devices.get(device);
    if (leaves === undefined) {
      leaves = new Map();
      this.#devices.set(device, leaves);
    }
    leaves.set(status.largeIno ?? status.ino, leaf);
  }
}

/**
 * Believes that a file with one link is met once, and remembers no more than its number: 8 bytes. Link counts don't tell
 * that a file is mounted at several places, or gets another name at this moment, which is noticed in the end.
 */
export class FrugalLinkFinder implements LinkFinder {
  readonly #linked = new ThoroughLinkFinder();
  /** By device, the inodes of all files; none of them is above 2^53. */
  readonly #inodes = new Map<number, Float64Array[]>();
  /** How many are in the last piece of each. */
  readonly #counts = new Map<number, number>();

  find(status: FileStatus): Leaf | undefined {
    return status.nlink === 1 && status.largeIno === undefined ? undefined : this.#linked.find(status);
  }

  add(status: FileStatus, leaf: Leaf): void {
    if (status.nlink !== 1 || status.largeIno !== undefined) this.#linked.add(status, leaf);
    if (status.largeIno !== undefined) return;
    const device = deviceOf(status);
    let pieces = this.#inodes.get(device);
    let count = this.#counts.get(device);
    if (pieces === undefined || count === undefined || count === CHUNK) {
      if (pieces === undefined) {
        pieces = [];
        this.#inodes.set(device, pieces);
      }
      pieces.push(new Float64Array(CHUNK));
      count = 0;
    }
    pieces[pieces.length - 1]![count] = status.ino;
    this.#counts.set(device, count + 1);
  }

  get hasMissed(): boolean {
    for (const [device, pieces] of this.#inodes) {
      const all = new Float64Array((pieces.length - 1) * CHUNK + this.#counts.get(device)!);
      for (const [i, piece] of pieces.entries())
        all.set(piece.subarray(0, Math.min(CHUNK, all.length - i * CHUNK)), i * CHUNK);
      all.sort();
      for (let i = 1; i < all.length; i++) if (all[i] === all[i - 1]) return true;
    }
    return false;
  }
}
