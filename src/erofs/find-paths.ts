import type { ByteString } from "../bytes.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../mode.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { ErofsImage } from "./image.ts";

/**
 * Finds a path for each of some objects in an image, the first in the order of the image.
 * @throws CfsError Corrupt
 */
export function findPaths(
  bytes: Uint8Array,
  algorithm: Algorithm,
  wanted: ReadonlySet<ObjectId>,
): Map<ObjectId, ByteString> {
  const image = new ErofsImage(bytes);
  const found = new Map<ObjectId, ByteString>();
  const seen = new Set<number>([image.rootNid]);
  const pending: [nid: number, path: ByteString][] = [[image.rootNid, ""]];
  for (let next = pending.pop(); next !== undefined && found.size < wanted.size; next = pending.pop()) {
    const [nid, path] = next;
    const inode = image.inode(nid);
    const type = inode.mode & S_IFMT;
    if (type === S_IFDIR) {
      for (const dirent of image.dirents(inode).reverse()) {
        if (seen.has(dirent.nid)) continue;
        seen.add(dirent.nid);
        pending.push([dirent.nid, `${path}/${dirent.name}`]);
      }
    } else if (type === S_IFREG) {
      image.xattrs(inode, (entry) => {
        if (image.overlayKind(entry) !== "metacopy") return;
        const id = image.metacopy(entry, algorithm);
        if (id !== undefined && wanted.has(id) && !found.has(id)) found.set(id, path);
      });
    }
  }
  return found;
}
