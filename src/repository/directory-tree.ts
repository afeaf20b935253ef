import type { Progress } from "../progress.ts";
import type { Directory } from "../tree/model.ts";
import { applyOciTransform, keepsXattr, type XattrFilter } from "../tree/transform.ts";
import type { Algorithm } from "../verity/digest.ts";
import { hashScannedFiles } from "./hash-files.ts";
import type { ObjectStoreHandle } from "./objects.ts";
import { scanDirectory } from "./scan-directory.ts";

export interface DirectoryTreeOptions {
  readonly algorithm: Algorithm;
  /** Where to store files above 64 bytes; without it they are only hashed. */
  readonly store?: ObjectStoreHandle;
  /** Makes it the tree of a container image that keeps these xattrs; undefined: everything stays as it is found. */
  readonly xattrs: XattrFilter | undefined;
  /** Threads, this one included. */
  readonly jobs: number;
  readonly progress: Progress;
}

/** The tree of a directory in the file system, as an image of it will hold it. See `scanDirectory` for errors. */
export async function directoryTree(path: string, options: DirectoryTreeOptions): Promise<Directory> {
  const { xattrs } = options;
  // What the transform drops is not read at all.
  using scanned = scanDirectory(
    path,
    xattrs === undefined ? {} : { wantedXattr: (name) => keepsXattr(xattrs, name), emptied: ["run"] },
  );
  await hashScannedFiles(scanned, options);
  if (xattrs !== undefined) applyOciTransform(scanned.root, xattrs);
  return scanned.root;
}
