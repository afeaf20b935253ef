import { CfsError } from "../errors.ts";
import type { Directory } from "../tree/model.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { VerityHasher } from "../verity/merkle.ts";
import {
  BLOCK_BITS,
  BLOCK_SIZE,
  COMPOSEFS_MAGIC,
  EROFS_MAGIC,
  FEATURE_COMPAT,
  type FormatVersion,
  HEADER,
  HEADER_FLAG_ACL,
  HEADER_VERSION,
  MAX_IMAGE_SIZE,
  roundUp,
  SUPERBLOCK,
} from "./format.ts";
import { InodeWriter } from "./inode-writer.ts";
import { InodeXattrs } from "./inode-xattrs.ts";
import { Layout } from "./layout.ts";
import { minimumTime, type Time } from "./minimum-time.ts";
import { type Placement, placeInodes } from "./placement.ts";
import type { ImagePlan } from "./plan.ts";
import { planImage } from "./plan-tree.ts";
import { ImageWindow } from "./window.ts";

/**
 * The EROFS image of a tree, worked out down to the place of everything, and ready to be written. It has one possible
 * value for a tree, a format version and an algorithm.
 *
 * Memory: about 5 MB of compiled code and 100 to 120 bytes an inode, most of it in columns of typed arrays, and one
 * window on the image.
 */
export class PreparedImage {
  /** In bytes; a multiple of 4096. */
  readonly size: number;
  readonly #version: FormatVersion;
  readonly #algorithm: Algorithm;
  readonly #plan: ImagePlan;
  readonly #xattrs: InodeXattrs;
  readonly #time: Time;
  readonly #layout: Layout;
  readonly #placement: Placement;
  readonly #metadataEnd: number;

  /**
   * @param root is not changed, and must not be until the image has been written.
   * @throws CfsError Invalid or Unsupported when the tree holds what no valid image can: names above 255 bytes, device
   *   numbers above 32 bits, too many or too large xattrs, hard-linked whiteouts, …
   */
  constructor(root: Directory, version: FormatVersion, algorithm: Algorithm) {
    const plan = planImage(root, version);
    const xattrs = new InodeXattrs(plan, version, algorithm);
    const time = minimumTime(plan);
    const layout = new Layout(plan, version, time);
    const placement = placeInodes(plan, xattrs, layout, version);
    const { inodesEnd, dataBlocks } = placement;
    this.#metadataEnd = roundUp(inodesEnd + xattrs.sharedSize, BLOCK_SIZE);
    this.size = this.#metadataEnd + dataBlocks * BLOCK_SIZE;
    if (this.size > MAX_IMAGE_SIZE) {
      throw new CfsError(
        "Unsupported",
        `image would have ${this.size} bytes; the limit is ${MAX_IMAGE_SIZE}`,
      );
    }
    xattrs.table.place((version === 2 ? inodesEnd : inodesEnd % BLOCK_SIZE) / 4);
    this.#version = version;
    this.#algorithm = algorithm;
    this.#plan = plan;
    this.#xattrs = xattrs;
    this.#time = time;
    this.#layout = layout;
    this.#placement = placement;
  }

  /** The fs-verity digest of the image. */
  digest(): ObjectId {
    const hasher = new VerityHasher(this.#algorithm);
    this.write((piece) => hasher.update(piece));
    return hasher.digest();
  }

  /** @param take gets the image in pieces, all multiples of 4096 bytes, which are overwritten when it returns. */
  write(take: (piece: Uint8Array<ArrayBuffer>) => void): void {
    const window = new ImageWindow(take);
    const writer = new InodeWriter(
      window,
      this.#plan,
      this.#xattrs,
      this.#layout,
      this.#placement,
      this.#version,
    );
    const firstBlock = this.#metadataEnd / BLOCK_SIZE;
    this.#writeHeads(window);
    writer.writeInodes(firstBlock);
    this.#xattrs.table.writeShared(window, this.#placement.inodesEnd);
    writer.writeBlocks(firstBlock);
    window.finish(this.size);
  }

  #writeHeads(window: ImageWindow): void {
    const version = this.#version;
    const { nids, inodesEnd } = this.#placement;
    const { bytes: out, words } = window;
    words[HEADER.magic / 4] = COMPOSEFS_MAGIC;
    words[HEADER.version / 4] = HEADER_VERSION;
    words[HEADER.flags / 4] = version !== 2 && this.#xattrs.table.hasAcl() ? HEADER_FLAG_ACL : 0;
    words[HEADER.composefsVersion / 4] = version;
    words[SUPERBLOCK.magic / 4] = EROFS_MAGIC;
    words[SUPERBLOCK.featureCompat / 4] = FEATURE_COMPAT;
    out[SUPERBLOCK.blockBits] = BLOCK_BITS;
    out.writeUInt16LE(nids[0]!, SUPERBLOCK.rootNid);
    words[SUPERBLOCK.inodes / 4] = this.#plan.inodeCount;
    if (version !== 2) {
      out.writeBigInt64LE(this.#time.mtime, SUPERBLOCK.buildTime);
      words[SUPERBLOCK.buildTimeNsec / 4] = this.#time.mtimeNsec;
      words[SUPERBLOCK.xattrBlock / 4] = Math.floor(inodesEnd / BLOCK_SIZE);
    }
    words[SUPERBLOCK.blocks / 4] = this.size / BLOCK_SIZE;
  }
}

/** The whole image in memory. Throws as `PreparedImage` does. */
export function writeImage(
  root: Directory,
  version: FormatVersion,
  algorithm: Algorithm,
): Uint8Array<ArrayBuffer> {
  const image = new PreparedImage(root, version, algorithm);
  const bytes = new Uint8Array(image.size);
  let at = 0;
  image.write((piece) => {
    bytes.set(piece, at);
    at += piece.length;
  });
  return bytes;
}

/** The fs-verity digest of an image, which is never in memory as a whole. Throws as `PreparedImage` does. */
export function imageDigest(root: Directory, version: FormatVersion, algorithm: Algorithm): ObjectId {
  return new PreparedImage(root, version, algorithm).digest();
}
