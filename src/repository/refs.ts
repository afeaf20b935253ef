import { type ByteString, compareBytes, display } from "../bytes.ts";
import { DT_DIR, DT_LNK, listDirectory, openDirectory } from "../sys/dir.ts";
import { ENOENT, ENOTDIR, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { fsync, readlinkat, unlinkat } from "../sys/file.ts";
import { openDirectoryPath, placeLink, resolveLink } from "./links.ts";
import { type Category, REFS, refComponents } from "./names.ts";
import type { Repository } from "./repository.ts";

/** More entries than this in one directory is not a repository but an attack or an accident. */
export const MAX_ENTRIES = 10_000_000;
const MAX_DEPTH = 256;

export interface Ref {
  /** Path below `streams/refs` or `images/refs`. */
  readonly name: ByteString;
  readonly target: ByteString;
}

/** Something below a `refs` directory: a link, or what should not be there. */
export interface RefEntry {
  readonly name: ByteString;
  /** DT_LNK, or the type of a stray file. */
  readonly type: number;
  /** Of a link. */
  readonly target?: ByteString;
}

/** Everything below the `refs` directory of a category but directories, sorted by path. */
export function walkRefs(repository: Repository, category: Category): RefEntry[] {
  const entries: RefEntry[] = [];
  using top = openCategory(repository, category);
  if (top === undefined) return entries;
  using refs = openIfDirectory(top, REFS);
  if (refs !== undefined) walk(refs, "", 0, entries);
  return entries.sort((a, b) => compareBytes(a.name, b.name));
}

/**
 * The entry of its category that a ref points to, whether that exists or not.
 * @param path of the ref, as components below the repository.
 * @returns undefined when it leads elsewhere.
 */
export function entryOfRef(path: readonly ByteString[], target: ByteString): ByteString | undefined {
  const [category, entry, ...more] = resolveLink(path, target) ?? [];
  return category === path[0] && entry !== REFS && more.length === 0 ? entry : undefined;
}

/** The directory `streams/` or `images/`; undefined when it does not exist. */
export function openCategory(repository: Repository, category: Category): Fd | undefined {
  try {
    return openDirectory(repository.dir.fd, category);
  } catch (error) {
    if (isErrno(error, ENOENT)) return undefined;
    throw error;
  }
}

export function openIfDirectory(parent: Fd, name: ByteString): Fd | undefined {
  try {
    return openDirectory(parent.fd, name, `${parent.path}/${display(name)}`);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return undefined;
    throw error;
  }
}

function walk(directory: Fd, prefix: string, depth: number, into: RefEntry[]): void {
  for (const { name, type } of listDirectory(directory, MAX_ENTRIES)) {
    const path = prefix + name;
    if (type === DT_LNK) {
      const target = readlinkat(directory.fd, name);
      if (target !== undefined) into.push({ name: path, type, target });
    } else if (type === DT_DIR && depth < MAX_DEPTH) {
      using sub = openIfDirectory(directory, name);
      if (sub !== undefined) walk(sub, `${path}/`, depth + 1, into);
    } else {
      into.push({ name: path, type });
    }
  }
}

/** The refs of a category, sorted by name; stray files are left out. */
export function listRefs(repository: Repository, category: Category): Ref[] {
  return walkRefs(repository, category).flatMap(({ name, target }) =>
    target === undefined ? [] : [{ name, target }],
  );
}

/**
 * Points a ref to an entry of its category, replacing what it pointed to.
 * @param name path below `refs`, as text.
 * @param entry name of a stream or image directly below `streams/` or `images/`.
 */
export function writeRef(repository: Repository, category: Category, name: string, entry: ByteString): void {
  const components = refComponents(name);
  placeLink(repository.dir, [category, REFS, ...components], "../".repeat(components.length) + entry);
}

/** Removes a ref; false when there is none of this name. Directories stay. */
export function removeRef(repository: Repository, category: Category, name: string): boolean {
  const components = refComponents(name);
  let parent: Fd;
  try {
    parent = openDirectoryPath(repository.dir, [category, REFS, ...components.slice(0, -1)], false);
  } catch (error) {
    if (isErrno(error, ENOENT, ENOTDIR)) return false;
    throw error;
  }
  using opened = parent;
  if (!unlinkat(opened.fd, components.at(-1)!)) return false;
  fsync(opened);
  return true;
}
