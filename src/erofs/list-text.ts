import { S_IFDIR, S_IFMT } from "../mode.ts";
import { escapeBytes, escapeField, escapeForList, escapeXattr } from "../tree/dump.ts";
import type { ListedEntry } from "./list-image.ts";

/**
 * An entry as a line of a dumpfile (composefs-dump(5)) in the way of composefs 1.0: sizes of directories are those of
 * their entries, a hard link repeats what its target says, and a digest stands only where it is enforced.
 */
export function dumpLineOf(entry: ListedEntry): string {
  const { size, nlink, uid, gid, rdev, mtime, mtimeNsec, digest, linkTo, target, backing } = entry;
  const path = escapeField(entry.path);
  const mode = `${linkTo === undefined ? "" : "@"}${entry.mode.toString(8)}`;
  const payload = escapeField(linkTo ?? target ?? backing ?? "");
  const content = escapeField(entry.content ?? "");
  const xattrs = entry.xattrs.map(([name, value]) => ` ${escapeXattr(name)}=${escapeXattr(value)}`).join("");
  const fields = [path, size, mode, nlink, uid, gid, rdev, `${mtime}.${mtimeNsec}`, payload, content];
  return `${fields.join(" ")} ${digest ?? "-"}${xattrs}\n`;
}

/** The same entry as a line of a list for people. */
export function listLineOf({ path, mode, linkTo, target, backing }: ListedEntry): string {
  const text = escapeForList(path);
  if ((mode & S_IFMT) === S_IFDIR) return `${text}/\t\n`;
  if (linkTo !== undefined) return `${text}\n`;
  if (target !== undefined) return `${text}\t-> ${escapeBytes(target)}\n`;
  return backing === undefined ? `${text}\n` : `${text}\t@ ${escapeBytes(backing)}\n`;
}
