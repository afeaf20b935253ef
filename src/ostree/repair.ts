import { CfsError } from "../errors.ts";
import { linkImage, storeImageIf } from "../repository/images.ts";
import type { Repository } from "../repository/repository.ts";
import type { ObjectId } from "../verity/digest.ts";
import { listCommits } from "./resolve.ts";
import { openCommit, type StoredCommit } from "./stored-commit.ts";
import { buildCommitTree } from "./tree.ts";

/**
 * Makes anew the images of commits that are missing, where the tree of the commit gives exactly the image that is
 * recorded.
 */
export function repairCommitImages(repository: Repository, onMade: (image: ObjectId) => void): void {
  for (const commit of listCommits(repository)) {
    try {
      const stored = openCommit(repository, commit);
      if (stored?.image === undefined || repository.objects.has(stored.image)) continue;
      if (!remakeImage(repository, stored, stored.image)) continue;
      linkImage(repository, stored.image);
      onMade(stored.image);
    } catch (error) {
      // A commit that can't be read is for those who pull it again.
      if (!(error instanceof CfsError)) throw error;
    }
  }
}

/** Stores the image of a commit, made with whatever options give its digest. @returns false when none do. */
function remakeImage(
  repository: Repository,
  { table, commit, subpaths }: StoredCommit,
  image: ObjectId,
): boolean {
  for (const cleanXattrNames of [false, true]) {
    const { root, hasXattrs } = buildCommitTree(table, commit, { cleanXattrNames, subpaths });
    for (const version of [1, 2, 0] as const) {
      if (storeImageIf(repository, root, version, (id) => id === image) !== undefined) return true;
    }
    if (!hasXattrs) return false;
  }
  return false;
}
