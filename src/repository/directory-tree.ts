import type { ByteString } from "../bytes.ts";
import type { Progress } from "../progress.ts";
import { applyBootTransform, EMPTIED_FOR_BOOT } from "../tree/boot-transform.ts";
import type { Directory } from "../tree/model.ts";
import { applyOciTransform, keepsXattr, type XattrFilter } from "../tree/transform.ts";
import type { Algorithm } from "../verity/digest.ts";
import { hashScannedFiles } from "./hash-files.ts";
import type { ObjectStoreHandle } from "./objects.ts";
import { readFromDirectory } from "./read-file.ts";
import { scanDirectory } from "./scan-directory.ts";

export interface DirectoryTreeOptions {
  readonly algorithm: Algorithm;
  /** Where to store files above 64 bytes; without it they are only hashed. */
  readonly store?: ObjectStoreHandle;
  /** Makes it the tree of a container image that keeps these xattrs; undefined: everything stays as it is found. */
  readonly xattrs: XattrFilter | undefined;
  /** Which xattrs to read when everything stays as it is found, by name; all unless given. */
  readonly wantedXattr?: (name: ByteString) => boolean;
  /** Directories of other file systems stay empty. */
  readonly oneFileSystem?: boolean;
  /** Makes it the tree of a bootable image. */
  readonly bootable?: boolean;
  /** Threads, this one included. */
  readonly jobs: number;
  readonly progress: Progress;
}

const MANY_ENTRIES = 100_000;

/** The tree of a directory in the file system, as an image of it will hold it. See `scanDirectory` for errors. */
export async function directoryTree(path: string, options: DirectoryTreeOptions): Promise<Directory> {
  const { xattrs, wantedXattr, oneFileSystem = false, bootable = false } = options;
  // What the transforms drop is not read at all.
  using scanned = scanDirectory(path, {
    emptied: [...(xattrs === undefined ? [] : ["run"]), ...(bootable ? EMPTIED_FOR_BOOT : [])],
    ...(xattrs !== undefined && { wantedXattr: (name: ByteString) => keepsXattr(xattrs, name) }),
    ...(xattrs === undefined && wantedXattr !== undefined && { wantedXattr }),
    oneFileSystem,
  });
  // What the walk had to remember is as large as the tree.
  if (scanned.entryCount > MANY_ENTRIES) Bun.gc(true);
  await hashScannedFiles(scanned, options);
  if (xattrs !== undefined) applyOciTransform(scanned.root, xattrs);
  if (bootable) applyBootTransform(scanned.root, readFromDirectory(scanned, options.algorithm));
  return scanned.root;
}
