import { type ByteString, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { openDirectory } from "../sys/dir.ts";
import { EINVAL, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { fsync, mkdirat, readlinkat, renameat, symlinkat, unlinkat } from "../sys/file.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { objectOfTarget } from "./names.ts";
import { temporaryName } from "./temporary.ts";

/** Prefix of links that wait in the repository's root to be renamed over another. */
export const TEMPORARY_LINK_PREFIX = ".symlink-";

const DIRECTORY_MODE = 0o755;
/** As many links as the kernel follows in one path. */
const MAX_HOPS = 40;

/**
 * Opens a directory below `root` component by component, so that no symbolic link is ever followed.
 * Missing ones are created when `create` is set. The caller closes it.
 */
export function openDirectoryPath(root: Fd, components: readonly ByteString[], create: boolean): Fd {
  let current = openDirectory(root.fd, ".", root.path);
  for (const component of components) {
    using parent = current;
    if (create) mkdirat(parent.fd, component, DIRECTORY_MODE);
    current = openDirectory(parent.fd, component, `${parent.path}/${display(component)}`);
  }
  return current;
}

/**
 * Makes `path` (components below the repository) a symbolic link to `target`, replacing what link was there in one
 * step, and waits until the directory is on disk.
 */
export function placeLink(root: Fd, path: readonly ByteString[], target: ByteString): void {
  const name = path.at(-1)!;
  using parent = openDirectoryPath(root, path.slice(0, -1), true);
  if (!symlinkat(target, parent.fd, name)) replaceLink(root, parent, name, target);
  fsync(parent);
}

function replaceLink(root: Fd, parent: Fd, name: ByteString, target: ByteString): void {
  if (linkTarget(parent.fd, name) === target) return;
  for (;;) {
    const temporary = temporaryName(TEMPORARY_LINK_PREFIX);
    if (!symlinkat(target, root.fd, temporary)) continue;
    try {
      renameat(root.fd, temporary, parent.fd, name);
    } catch (error) {
      unlinkat(root.fd, temporary);
      throw error;
    }
    return;
  }
}

/** Target of a symbolic link; undefined when nothing is there or it is no link. */
export function linkTarget(dirfd: number, path: ByteString): ByteString | undefined {
  try {
    return readlinkat(dirfd, path);
  } catch (error) {
    if (isErrno(error, EINVAL)) return undefined;
    throw error;
  }
}

/**
 * Follows the links from `path` (components below the repository) to an object. Only the text of the links is
 * followed, and only inside the repository.
 * @returns undefined when there is nothing at `path` itself
 * @throws CfsError NotFound for a broken chain; Invalid for what is no link or leads elsewhere
 */
export function resolveObject(
  root: Fd,
  path: readonly ByteString[],
  algorithm: Algorithm,
): ObjectId | undefined {
  let current = [...path];
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    const at = current.join("/");
    let target: ByteString | undefined;
    try {
      target = readlinkat(root.fd, at);
    } catch (error) {
      if (!isErrno(error, EINVAL)) throw error;
      throw new CfsError("Invalid", `${display(at)} is not a symbolic link`);
    }
    if (target === undefined) {
      if (hop === 0) return undefined;
      throw new CfsError(
        "NotFound",
        `${display(path.join("/"))} points to ${display(at)}, which does not exist`,
      );
    }
    const next = resolveLink(current, target);
    if (next === undefined) {
      throw new CfsError(
        "Invalid",
        `${display(at)} points to '${display(target)}', which is outside of the repository`,
      );
    }
    if (next[0] === "objects") return objectOfTarget(next.join("/"), algorithm);
    current = next;
  }
  throw new CfsError("Invalid", `${display(path.join("/"))}: too many levels of symbolic links`);
}

/** The components that a link at `path` leads to, or undefined when that is above the repository or absolute. */
export function resolveLink(path: readonly ByteString[], target: ByteString): ByteString[] | undefined {
  if (target.startsWith("/")) return undefined;
  const components = path.slice(0, -1);
  for (const component of target.split("/")) {
    if (component === "" || component === ".") continue;
    if (component !== "..") components.push(component);
    else if (components.pop() === undefined) return undefined;
  }
  return components;
}
