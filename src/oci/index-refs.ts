import { toText } from "../bytes.ts";
import { linkTarget, openDirectoryPath } from "../repository/links.ts";
import { baseName, REFS } from "../repository/names.ts";
import { writeRef } from "../repository/refs.ts";
import { removeTree } from "../repository/remove-tree.ts";
import type { Repository } from "../repository/repository.ts";
import { listDirectory } from "../sys/dir.ts";
import { ENOENT, ENOTDIR, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { fsync, unlinkat } from "../sys/file.ts";
import { isDigest, type OciDigest } from "./digest.ts";
import { INDEX_PREFIX, indexStream, manifestStream } from "./streams.ts";

/**
 * Directory below `streams/refs` that keeps the indexes of tags alive. Each tag has a directory of its own, named like
 * the tag's link, with links to what belongs to its index: `index` to the index itself, `ALGORITHM:HEX` to each manifest.
 */
const INDEX_DIRECTORY = "oci-indexes";
const INDEX_LINK = "index";

const MAX_ENTRIES = 100_000;

/** What the links of a tag's index say. */
export interface IndexRefs {
  readonly index: OciDigest | undefined;
  readonly manifests: ReadonlySet<OciDigest>;
}

/**
 * Keeps an index and its manifests, all of which must be in the repository, in place of the tag's former one.
 * @param tag as the name of its link.
 */
export function writeIndexRefs(
  repository: Repository,
  tag: string,
  index: OciDigest,
  manifests: ReadonlySet<OciDigest>,
): void {
  const refTo = (name: string) => `${INDEX_DIRECTORY}/${tag}/${name}`;
  for (const digest of manifests) writeRef(repository, "streams", refTo(digest), manifestStream(digest));
  writeRef(repository, "streams", refTo(INDEX_LINK), indexStream(index));
  using directory = openIndexDirectory(repository, tag)!;
  const names: ReadonlySet<string> = new Set([INDEX_LINK, ...manifests]);
  for (const { name } of listDirectory(directory, MAX_ENTRIES))
    if (!names.has(name)) unlinkat(directory.fd, name);
  fsync(directory);
}

/** undefined when the tag has no index. */
export function readIndexRefs(repository: Repository, tag: string): IndexRefs | undefined {
  using directory = openIndexDirectory(repository, tag);
  if (directory === undefined) return undefined;
  const target = baseName(linkTarget(directory.fd, INDEX_LINK) ?? "") ?? "";
  const index = target.startsWith(INDEX_PREFIX) ? target.slice(INDEX_PREFIX.length) : "";
  const manifests = listDirectory(directory, MAX_ENTRIES).flatMap(({ name }) => {
    const text = toText(name);
    return text !== undefined && isDigest(text) ? [text] : [];
  });
  return { index: isDigest(index) ? index : undefined, manifests: new Set(manifests) };
}

/** Lets go of a tag's index; false when it has none. */
export function removeIndexRefs(repository: Repository, tag: string): boolean {
  using parent = openIndexDirectory(repository);
  using directory = parent && openIndexDirectory(repository, tag);
  if (parent === undefined || directory === undefined) return false;
  removeTree(parent, Buffer.from(tag, "utf8").latin1Slice());
  fsync(parent);
  return true;
}

function openIndexDirectory(repository: Repository, ...tag: readonly string[]): Fd | undefined {
  const components = [
    "streams",
    REFS,
    INDEX_DIRECTORY,
    ...tag.map((name) => Buffer.from(name).latin1Slice()),
  ];
  try {
    return openDirectoryPath(repository.dir, components, false);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return undefined;
    throw error;
  }
}
