import { readImage } from "../erofs/reader.ts";
import { imageDigest } from "../erofs/writer.ts";
import { CfsError } from "../errors.ts";
import { openImage, readImageFile } from "../repository/images.ts";
import type { Repository } from "../repository/repository.ts";
import type { Directory } from "../tree/model.ts";
import type { ObjectId } from "../verity/digest.ts";
import { CommitStreamWriter } from "./commit-stream-writer.ts";
import { type StoredCommit, storeCommit } from "./stored-commit.ts";
import { buildCommitTree } from "./tree.ts";

/** The image of a commit. It is made when there is none, and recorded. */
export function ensureImage(repository: Repository, stored: StoredCommit): ObjectId {
  if (stored.image !== undefined && repository.objects.has(stored.image)) return stored.image;
  const objects = new CommitStreamWriter(repository.algorithm);
  const { table, subpaths } = stored;
  for (let i = 0; i < table.length; i++)
    objects.add(table.checksumAt(i), table.dataAt(i), table.externalAt(i));
  return storeCommit(repository, objects, stored.commit, {
    cleanXattrNames: hadCleanNames(repository, stored),
    subpaths,
  }).image;
}

/** Whether the image that is recorded, but missing, has xattr names without the NUL. */
function hadCleanNames(repository: Repository, { commit, table, image, subpaths }: StoredCommit): boolean {
  if (image === undefined) return false;
  const { root, hasXattrs } = buildCommitTree(table, commit, { cleanXattrNames: true, subpaths });
  const { erofsVersion, algorithm } = repository;
  return hasXattrs && imageDigest(root, erofsVersion, algorithm) === image;
}

/** The image of a commit, without making one. @throws CfsError NotFound */
export function recordedImage({ image }: StoredCommit, name: string): ObjectId {
  if (image !== undefined) return image;
  throw new CfsError("NotFound", `no composefs image linked to '${name}' — try re-pulling`, {
    hint: "`cfsctl ostree compute-id` makes it",
  });
}

/** The tree of a commit as its image has it. */
export function buildRecordedTree(
  repository: Repository,
  { commit, table, image, subpaths }: StoredCommit,
): Directory {
  const { root, hasXattrs } = buildCommitTree(table, commit, { subpaths });
  // Only the image tells which of the two kinds of xattr names was asked for.
  if (!hasXattrs || image === undefined || !repository.objects.has(image)) return root;
  using opened = openImage(repository, image);
  return readImage(readImageFile(opened.file), repository.algorithm).root;
}
