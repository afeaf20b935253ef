import { readImage } from "../../erofs/reader.ts";
import { withContext } from "../../errors.ts";
import { openImage, readImageFile } from "../../repository/images.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Directory, Node, Xattrs } from "../../tree/model.ts";
import { directories } from "../../tree/walk.ts";
import { cleanNames } from "../tree.ts";

/** The tree of an image that is named by its id or as `refs/NAME`. @throws CfsError NotFound, Corrupt */
export function readImageTree(repository: Repository, name: string): Directory {
  using image = openImage(repository, name);
  try {
    return readImage(readImageFile(image.file), repository.algorithm).root;
  } catch (error) {
    throw withContext(`image '${name}'`, error);
  }
}

/** Whether some xattr has a name without the NUL at its end that libostree expects. */
export function hasPlainXattrNames(root: Directory): boolean {
  for (const node of nodes(root)) {
    for (const name of node.stat.xattrs.keys()) if (!name.endsWith("\0")) return true;
  }
  return false;
}

/** Takes off the NUL at the end of xattr names, which images of commits may have. @throws CfsError Corrupt */
export function cleanXattrNames(root: Directory): void {
  // Nodes share their xattr maps, and go on sharing them.
  const cleaned = new Map<Xattrs, Xattrs>();
  for (const { stat } of nodes(root)) {
    if (stat.xattrs.size === 0) continue;
    let xattrs = cleaned.get(stat.xattrs);
    if (xattrs === undefined) {
      xattrs = cleanNames(stat.xattrs);
      cleaned.set(stat.xattrs, xattrs);
      cleaned.set(xattrs, xattrs);
    }
    stat.xattrs = xattrs;
  }
}

function* nodes(root: Directory): Generator<Node> {
  yield root;
  for (const directory of directories(root)) yield* directory.entries.values();
}
