import { CfsError } from "../errors.ts";
import type { Directory } from "../tree/model.ts";
import type { Algorithm } from "../verity/digest.ts";
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
import { minimumTime } from "./minimum-time.ts";
import { placeInodes } from "./placement.ts";
import { planImage } from "./plan-tree.ts";

/**
 * Makes the EROFS image of a tree: a pure function, whose result has one possible value for a tree, a format version
 * and an algorithm.
 *
 * Memory above the image: about 5 MB of compiled code and 100 to 120 bytes an inode (98,000 entries with SHA-512: 17 MB
 * next to an image of 26 MB), most of it in columns of typed arrays.
 *
 * @param root is not changed.
 * @returns the image; its length is a multiple of 4096.
 * @throws CfsError Invalid or Unsupported when the tree holds what no valid image can: names above 255 bytes, device
 *   numbers above 32 bits, too many or too large xattrs, hard-linked whiteouts, …
 */
export function writeImage(
  root: Directory,
  version: FormatVersion,
  algorithm: Algorithm,
): Uint8Array<ArrayBuffer> {
  const plan = planImage(root, version);
  const xattrs = new InodeXattrs(plan, version, algorithm);
  const { table, sharedSize } = xattrs;
  const time = minimumTime(plan);
  const layout = new Layout(plan, version, time);
  const { nids, inodesEnd, dataBlocks } = placeInodes(plan, xattrs, layout, version);
  const metadataEnd = roundUp(inodesEnd + sharedSize, BLOCK_SIZE);
  const blocks = metadataEnd / BLOCK_SIZE + dataBlocks;
  if (blocks * BLOCK_SIZE > MAX_IMAGE_SIZE) {
    throw new CfsError(
      "Unsupported",
      `image would have ${blocks * BLOCK_SIZE} bytes; the limit is ${MAX_IMAGE_SIZE}`,
    );
  }
  table.place((version === 2 ? inodesEnd : inodesEnd % BLOCK_SIZE) / 4);

  const out = Buffer.from(new ArrayBuffer(blocks * BLOCK_SIZE));
  const words = new Uint32Array(out.buffer);
  words[HEADER.magic / 4] = COMPOSEFS_MAGIC;
  words[HEADER.version / 4] = HEADER_VERSION;
  words[HEADER.flags / 4] = version !== 2 && table.hasAcl() ? HEADER_FLAG_ACL : 0;
  words[HEADER.composefsVersion / 4] = version;
  words[SUPERBLOCK.magic / 4] = EROFS_MAGIC;
  words[SUPERBLOCK.featureCompat / 4] = FEATURE_COMPAT;
  out[SUPERBLOCK.blockBits] = BLOCK_BITS;
  out.writeUInt16LE(nids[0]!, SUPERBLOCK.rootNid);
  words[SUPERBLOCK.inodes / 4] = plan.inodeCount;
  if (version !== 2) {
    out.writeBigInt64LE(time.mtime, SUPERBLOCK.buildTime);
    words[SUPERBLOCK.buildTimeNsec / 4] = time.mtimeNsec;
    words[SUPERBLOCK.xattrBlock / 4] = Math.floor(inodesEnd / BLOCK_SIZE);
  }
  words[SUPERBLOCK.blocks / 4] = blocks;

  new InodeWriter(out, plan, xattrs, layout, nids, version).writeAll(metadataEnd);
  table.writeShared(out, words, inodesEnd);
  return out;
}
