import { CfsError, withContext } from "../errors.ts";
import {
  BLOCK_BITS,
  BLOCK_SIZE,
  type FormatVersion,
  FT_SYMLINK,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  MAX_IMAGE_SIZE,
  roundUp,
  SLOT_SIZE,
  SUPERBLOCK,
} from "./format.ts";
import type { InodeXattrs } from "./inode-xattrs.ts";
import type { Layout } from "./layout.ts";
import { inodePath } from "./order.ts";
import type { ImagePlan } from "./plan.ts";

export interface Placement {
  /** Number (nid) of each inode of the plan: its byte offset divided by 32. */
  readonly nids: Uint32Array;
  /** End of the inode area in bytes, a multiple of 32. */
  readonly inodesEnd: number;
  /** Blocks that hold data of inodes. */
  readonly dataBlocks: number;
  /** The inodes that have such blocks, in the order of the image. */
  readonly blockOwners: readonly number[];
}

/**
 * Gives every inode its offset.
 * @param layout is overwritten.
 * @throws CfsError Invalid or Unsupported for an inode that no valid image can hold, or too many of them.
 */
export function placeInodes(
  plan: ImagePlan,
  xattrs: InodeXattrs,
  layout: Layout,
  version: FormatVersion,
): Placement {
  const nids = new Uint32Array(plan.inodeCount);
  let at: number = SUPERBLOCK.end;
  let dataBlocks = 0;
  const blockOwners: number[] = [];
  for (let i = 0; i < plan.order.length; i++) {
    const inode = plan.order[i]!;
    try {
      layout.set(inode, xattrs.sizeOf(inode));
    } catch (error) {
      throw withContext(inodePath(plan, inode), error);
    }
    at = (at + SLOT_SIZE - 1) & -SLOT_SIZE;
    if (version === 2) at = padDepthFirst(at, layout);
    else at = padBreadthFirst(at, layout, plan.fileTypes[inode] === FT_SYMLINK);
    nids[inode] = at / SLOT_SIZE;
    if (layout.blocks > 0) {
      dataBlocks += layout.blocks;
      blockOwners.push(inode);
    }
    at += layout.metaSize + layout.tail;
    // Beyond this no arithmetic on 32-bit integers is safe, and no reader takes the image.
    if (at > MAX_IMAGE_SIZE) {
      throw new CfsError("Unsupported", `image would have more than ${MAX_IMAGE_SIZE} bytes`);
    }
  }
  return { nids, inodesEnd: roundUp(at, SLOT_SIZE), dataBlocks, blockOwners };
}

/** Versions 0 and 1: a tail must not cross a block, a symlink as a whole must not where it can be avoided. */
function padBreadthFirst(at: number, layout: Layout, isSymlink: boolean): number {
  const { metaSize } = layout;
  if (layout.layout === LAYOUT_CHUNKED && layout.blocks > 0) return roundUp(at, BLOCK_SIZE);
  if (isSymlink) {
    const last = at + metaSize + layout.sizeLow - 1;
    return at >>> BLOCK_BITS === last >>> BLOCK_BITS ? at : roundUp(at, BLOCK_SIZE);
  }
  if (layout.tail > 0) {
    const room = BLOCK_SIZE - ((at + metaSize) & (BLOCK_SIZE - 1));
    if (room < layout.tail) return at + roundUp(room, SLOT_SIZE);
  }
  return at;
}

/** Version 2: an inline tail starts in the block where the xattrs end, and ends before that block's end. */
function padDepthFirst(at: number, layout: Layout): number {
  if (layout.layout !== LAYOUT_INLINE) return at;
  const last = at + layout.metaSize - 1;
  const rest = layout.sizeLow & (BLOCK_SIZE - 1);
  if (last >>> BLOCK_BITS === (last + 1 + rest) >>> BLOCK_BITS) return at;
  return roundUp(at + BLOCK_SIZE - (last & (BLOCK_SIZE - 1)), SLOT_SIZE);
}
