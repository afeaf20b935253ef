import { fromText } from "../bytes.ts";
import { CfsError, kindOf } from "../errors.ts";
import {
  type Comparable,
  comparableImage,
  comparablePath,
  type LoadOptions,
} from "../repository/compared.ts";
import type { Repository } from "../repository/repository.ts";
import { AT_FDCWD } from "../sys/file.ts";
import { emptyStatus, tryFstatat } from "../sys/stat.ts";
import type { XattrFilter } from "../tree/transform.ts";
import { resolveName } from "./image.ts";
import { imageTree } from "./image-tree.ts";

export interface CompareOptions extends LoadOptions {
  /** Which xattrs the tree of a container image keeps; those of everything else are all read. */
  readonly xattrs: XattrFilter;
  /** What a name is looked for first: container images or EROFS images. */
  readonly prefer: "container" | "erofs";
}

/**
 * What the user wants to compare: a container image or an EROFS image in the repository by any of its names, or a
 * directory, an image or a dumpfile of the file system. What begins with `/` or `.` is a path; all else is one only
 * when no image has this name.
 * @param repository undefined when there is none: then everything is a path.
 * @throws CfsError NotFound
 */
export function findComparable(
  repository: Repository | undefined,
  name: string,
  options: CompareOptions,
): Comparable {
  if (repository === undefined || isPathName(name)) return comparablePath(name, options);
  const container = () => containerImage(repository, name, options);
  const erofs = () => unlessMissing(() => comparableImage(repository, name));
  const [first, second] = options.prefer === "container" ? [container, erofs] : [erofs, container];
  const found = first() ?? second();
  if (found !== undefined) return found;
  if (!name.startsWith("@") && tryFstatat(AT_FDCWD, fromText(name), emptyStatus()) >= 0)
    return comparablePath(name, options);
  throw new CfsError("NotFound", `there is neither an image nor a directory ${name}`, {
    hint: "`cfsctl images` and `cfsctl oci images` list the names of images",
  });
}

/** Whether a name is a path whatever there is. */
export function isPathName(name: string): boolean {
  return /^[./]/.test(name);
}

function containerImage(
  repository: Repository,
  name: string,
  { xattrs }: CompareOptions,
): Comparable | undefined {
  const { algorithm } = repository;
  if (unlessMissing(() => resolveName(repository, name)) === undefined) return undefined;
  return {
    algorithm,
    load: () => ({
      root: imageTree(repository, name, { xattrs }),
      origin: "image",
      xattrs,
      algorithm,
      image: undefined,
    }),
  };
}

/** Names may have characters that only those of the other kind can have. */
function unlessMissing<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch (error) {
    if (error instanceof CfsError && (kindOf(error) === "NotFound" || kindOf(error) === "Invalid"))
      return undefined;
    throw error;
  }
}
