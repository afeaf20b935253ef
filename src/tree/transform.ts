import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { type Directory, NO_XATTRS, type Stat, type Xattrs } from "./model.ts";
import { directories } from "./walk.ts";

/** Which extended attributes an image keeps: file capabilities only, or `user.*` as well. */
export type XattrFilter = "allowlist-only" | "keep-user-xattrs";

const ALLOWED = "security.capability";
const USER_PREFIX = "user.";

/** @throws CfsError Usage. */
export function parseXattrFilter(text: string): XattrFilter {
  if (text === "allowlist-only" || text === "keep-user-xattrs") return text;
  throw new CfsError(
    "Usage",
    `invalid xattr filtering mode "${text}" (expected "allowlist-only" or "keep-user-xattrs")`,
  );
}

/** Metadata of a root that nothing describes: owned by root, mode 0755, time 0. */
export function defaultRootStat(): Stat {
  return { mode: 0o755, uid: 0, gid: 0, mtime: 0n, mtimeNsec: 0, xattrs: NO_XATTRS };
}

/**
 * Gives the root the metadata of `/usr`, xattrs included: container layers don't describe their root reliably. A tree
 * without a `/usr` directory keeps what it has.
 */
export function copyRootFromUsr(root: Directory): void {
  const usr = root.entries.get("usr");
  if (usr?.kind === "directory") root.stat = { ...usr.stat };
}

/**
 * Removes what lies in a directory of the root, if there is one, and gives it the time of `/usr` (of the root when
 * there is no `/usr`): its content is made at boot or run time and must not change the image.
 */
export function emptyRootDirectory(root: Directory, name: ByteString): void {
  const directory = root.entries.get(name);
  if (directory?.kind !== "directory") return;
  const usr = root.entries.get("usr");
  const { mtime, mtimeNsec } = usr?.kind === "directory" ? usr.stat : root.stat;
  directory.entries.clear();
  directory.stat = { ...directory.stat, mtime, mtimeNsec };
}

/** `/run` as an empty directory: container tools leave files of their own there. */
export function canonicalizeRun(root: Directory): void {
  emptyRootDirectory(root, "run");
}

/** Whether the filter lets an xattr of this name through. */
export function keepsXattr(filter: XattrFilter, name: ByteString): boolean {
  return name === ALLOWED || (filter === "keep-user-xattrs" && name.startsWith(USER_PREFIX));
}

/** Drops all xattrs that the filter does not let through, on every node. */
export function filterXattrs(root: Directory, filter: XattrFilter): void {
  keepXattrs(root, (name) => keepsXattr(filter, name));
}

/** Drops all xattrs but those of wanted names, on every node. */
export function keepXattrs(root: Directory, isWanted: (name: ByteString) => boolean): void {
  // Nodes share their xattr maps, and go on sharing them.
  const filtered = new Map<Xattrs, Xattrs>();
  const apply = (stat: Stat) => {
    if (stat.xattrs.size === 0) return;
    let kept = filtered.get(stat.xattrs);
    if (kept === undefined) {
      const pairs = [...stat.xattrs].filter(([name]) => isWanted(name));
      kept =
        pairs.length === stat.xattrs.size ? stat.xattrs : pairs.length === 0 ? NO_XATTRS : new Map(pairs);
      filtered.set(stat.xattrs, kept);
    }
    stat.xattrs = kept;
  };
  for (const directory of directories(root)) {
    apply(directory.stat);
    for (const node of directory.entries.values()) if (node.kind === "leaf") apply(node.stat);
  }
}

/** What turns the files of a container image into the tree of its composefs image; changes the tree. */
export function applyOciTransform(root: Directory, filter: XattrFilter): void {
  copyRootFromUsr(root);
  canonicalizeRun(root);
  filterXattrs(root, filter);
}
