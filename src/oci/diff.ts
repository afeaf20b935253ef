import { fromText } from "../bytes.ts";
import { CfsError, kindOf } from "../errors.ts";
import type { Progress } from "../progress.ts";
import { directoryTree } from "../repository/directory-tree.ts";
import type { Repository } from "../repository/repository.ts";
import { AT_FDCWD } from "../sys/file.ts";
import { emptyStatus, tryFstatat } from "../sys/stat.ts";
import type { DiffSide } from "../tree/diff-reasons.ts";
import type { XattrFilter } from "../tree/transform.ts";
import { resolveName } from "./image.ts";
import { imageTree } from "./image-tree.ts";

export interface DiffSideOptions {
  /** Which xattrs the tree of an image keeps; those of a directory are all read. */
  readonly xattrs: XattrFilter;
  /** Threads that hash the files of a directory, this one included. */
  readonly jobs: number;
  readonly progress: Progress;
}

/**
 * The tree of what the user wants to compare: an image in the repository by any of its names, or a directory of the file
 * system as it is. What begins with `/` or `.` is a path; all else is one only when no image has this name.
 * @throws CfsError NotFound
 */
export async function diffSide(
  repository: Repository,
  name: string,
  options: DiffSideOptions,
): Promise<DiffSide> {
  const { xattrs, jobs, progress } = options;
  if (isImage(repository, name))
    return { root: imageTree(repository, name, { xattrs }), origin: "image", xattrs };
  const { algorithm } = repository;
  const root = await directoryTree(name, { algorithm, xattrs: undefined, jobs, progress });
  return { root, origin: "directory" };
}

function isImage(repository: Repository, name: string): boolean {
  if (/^[./]/.test(name)) return false;
  try {
    resolveName(repository, name);
    return true;
  } catch (error) {
    if (kindOf(error) !== "NotFound" || name.startsWith("@")) throw error;
    if (tryFstatat(AT_FDCWD, fromText(name), emptyStatus()) >= 0) return false;
    throw new CfsError("NotFound", `there is neither an image nor a directory ${name}`, {
      hint: "`cfsctl oci images` lists the tags",
    });
  }
}
