import type { Category } from "../repository/names.ts";
import { type ObjectId, objectPath } from "../verity/digest.ts";

/**
 * A published copy has the layout of a repository, so that composefs-rs can fetch streams from it:
 *
 *   published.json        what there is: see index-format.ts
 *   objects/xx/rest       objects
 *   streams/ID            the object of the stream, or, with the media type of links, its path
 *   streams/refs/NAME     the same for the stream that the ref points to
 *   images/HEX, images/refs/NAME
 */
export const INDEX_NAME = "published.json";

/** Media type of what stands for a symbolic link: the body is the path of an object. */
export const LINK_MEDIA_TYPE = "text/x-symlink-target";

export function publishedObjectPath(id: ObjectId): string {
  return `objects/${objectPath(id)}`;
}

/** @param entry a name directly below the category, or `refs/NAME`. */
export function publishedLinkPath(category: Category, entry: string): string {
  return `${category}/${entry}`;
}
