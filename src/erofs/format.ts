/**
 * The EROFS on-disk format as composefs uses it: sizes, offsets and numbers only. Sources: the kernel's
 * `fs/erofs/erofs_fs.h` and, for the 32 bytes at the start of an image, composefs' `lcfs-erofs.h`. All integers are
 * little-endian, and so is every machine that Bun runs on: structures are read and written as 32-bit words.
 */

/** 0 and 1: compact inodes, breadth first, with a whiteout table in the root; 2: extended inodes, depth first. */
export type FormatVersion = 0 | 1 | 2;

export const BLOCK_BITS = 12;
export const BLOCK_SIZE = 1 << BLOCK_BITS;
/** Inodes start at multiples of this; an inode's number (nid) is its byte offset divided by it. */
export const SLOT_SIZE = 32;

/** Readers refuse images above this size, so the writer makes none. */
export const MAX_IMAGE_SIZE = 1 << 30;

/** composefs header at offset 0: magic, header version, flags, composefs version, 16 reserved bytes. */
export const HEADER = { magic: 0, version: 4, flags: 8, composefsVersion: 12, size: 32 } as const;
export const COMPOSEFS_MAGIC = 0xd078629a;
export const HEADER_VERSION = 1;
/** Some inode has a POSIX ACL. */
export const HEADER_FLAG_ACL = 1;

/** Superblock: offsets from the start of the image. */
export const SUPERBLOCK = {
  start: 1024,
  magic: 1024,
  checksum: 1028,
  featureCompat: 1032,
  blockBits: 1036,
  extSlots: 1037,
  rootNid: 1038,
  inodes: 1040,
  buildTime: 1048,
  buildTimeNsec: 1056,
  blocks: 1060,
  metaBlock: 1064,
  xattrBlock: 1068,
  featureIncompat: 1104,
  compression: 1108,
  extraDevices: 1110,
  xattrPrefixCount: 1115,
  packedNid: 1120,
  end: 1152,
} as const;
export const EROFS_MAGIC = 0xe0f5e1e2;
/** `mtime` (0x2) and `xattr filter` (0x4): what every composefs image says. */
export const FEATURE_COMPAT = 0x6;
export const FEATURE_COMPAT_ALLOWED = 0x7;
export const FEATURE_INCOMPAT_ALLOWED = 0x4;

export const COMPACT_INODE_SIZE = 32;
export const EXTENDED_INODE_SIZE = 64;

/** Data layouts as they stand in `i_format`, whose lowest bit says whether the inode is extended. */
export const LAYOUT_PLAIN = 0;
export const LAYOUT_INLINE = 4;
export const LAYOUT_CHUNKED = 8;

export const DIRENT_SIZE = 12;
export const FT_REGULAR = 1;
export const FT_DIRECTORY = 2;
export const FT_CHAR = 3;
export const FT_BLOCK = 4;
export const FT_FIFO = 5;
export const FT_SOCKET = 6;
export const FT_SYMLINK = 7;

export const MAX_NAME = 255;
/** The kernel's limit for a symlink target without its terminator (PATH_MAX - 1). */
export const MAX_SYMLINK = 4095;
/** Largest inline file that readers of version 2 take. */
export const MAX_INLINE_V2 = 512;

/** Chunk size exponents fit 5 bits above the block size's. */
export const MAX_CHUNK_BITS = BLOCK_BITS + 31;
/** Chunk tables end at one block of 4-byte entries. */
export const MAX_CHUNKS = BLOCK_SIZE / 4;

/** Before an inode's xattrs: name filter, number of shared references, 7 reserved bytes. */
export const XATTR_HEADER_SIZE = 12;
/** Before every xattr: suffix length u8, prefix index u8, value length u16. */
export const XATTR_ENTRY_SIZE = 4;
export const MAX_XATTR_COUNT_WORDS = 0xffff;
export const MAX_SHARED_XATTRS = 255;
export const MAX_XATTR_SUFFIX = 255;
export const MAX_XATTR_VALUE = 0xffff;
export const XATTR_FILTER_SEED = 0x25bbe08f;

export const XATTR_INDEX_ACL_ACCESS = 2;
export const XATTR_INDEX_ACL_DEFAULT = 3;
export const XATTR_INDEX_TRUSTED = 4;
export const XATTR_INDEX_LUSTRE = 5;
/** What a name index stands for; 0: the whole name is in the entry. */
export const XATTR_PREFIXES = [
  "",
  "user.",
  "system.posix_acl_access",
  "system.posix_acl_default",
  "trusted.",
  "lustre.",
  "security.",
] as const;

/** Names that overlayfs gives a meaning to. */
export const OVERLAY_PREFIX = "trusted.overlay.";
/** A node's own `trusted.overlay.X` is kept as `trusted.overlay.overlay.X`, which overlayfs turns back. */
export const OVERLAY_ESCAPE_PREFIX = "trusted.overlay.overlay.";
export const METACOPY = "trusted.overlay.metacopy";
export const REDIRECT = "trusted.overlay.redirect";
export const OPAQUE = "trusted.overlay.opaque";

/** What turns an empty regular file into a whiteout for overlayfs, on the file and on its directory. */
export const WHITEOUT_MARKERS = ["trusted.overlay.overlay.whiteout", "user.overlay.whiteout"] as const;
export const WHITEOUT_DIRECTORY_MARKERS = [
  "trusted.overlay.overlay.whiteouts",
  "user.overlay.whiteouts",
] as const;
export const WHITEOUT_OPAQUE_MARKERS = ["trusted.overlay.overlay.opaque", "user.overlay.opaque"] as const;

/** Names of the whiteouts in a version 0 or 1 root that hide the object directories: `00` to `ff`. */
export const STUB_NAMES: readonly string[] = Array.from({ length: 256 }, (_, i) =>
  i.toString(16).padStart(2, "0"),
);

/** Bytes of `trusted.overlay.metacopy` before the digest: version 0, length, flags 0, algorithm. */
export const METACOPY_HEADER_SIZE = 4;

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
