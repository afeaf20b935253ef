import type { Progress } from "../progress.ts";
import type { XattrFilter } from "../tree/transform.ts";
import type { ObjectId } from "../verity/digest.ts";
import { directoryTree } from "./directory-tree.ts";
import { linkImage, storeImage } from "./images.ts";
import { refComponents } from "./names.ts";
import type { Repository } from "./repository.ts";

export interface CreateImageOptions {
  /** Name below `images/refs` for the image of the default format. */
  readonly ref?: string | undefined;
  /** As in `DirectoryTreeOptions`. */
  readonly xattrs: XattrFilter | undefined;
  readonly bootable?: boolean;
  readonly oneFileSystem?: boolean;
  /** Threads, this one included. */
  readonly jobs: number;
  readonly progress: Progress;
}

/**
 * Stores the files of a directory and the images of it, one in each format of the repository. The images are linked
 * when all is on disk.
 * @returns the image of the default format.
 */
export async function createImage(
  repository: Repository,
  path: string,
  options: CreateImageOptions,
): Promise<ObjectId> {
  const { ref, ...treeOptions } = options;
  // Before the work: it may take long.
  if (ref !== undefined) refComponents(ref);
  repository.ensureWritable();
  const { algorithm, objects, erofsVersions } = repository;
  const root = await directoryTree(path, { algorithm, store: objects.handle, ...treeOptions });
  const images = erofsVersions.map((version) => storeImage(repository, root, version));
  for (const id of images.slice(1)) linkImage(repository, id);
  linkImage(repository, images[0]!, ref);
  return images[0]!;
}
