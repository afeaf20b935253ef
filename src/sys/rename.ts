import { display } from "../bytes.ts";
import { EEXIST, EINVAL, ENOSYS } from "./errno.ts";
import { check, existsat, renameat } from "./file.ts";
import { cstring } from "./libc.ts";
import { NR, syscall } from "./syscall.ts";

/** include/uapi/linux/fs.h */
const RENAME_NOREPLACE = 1;

/**
 * Renames unless the new name exists; false when it does. On a file system that cannot do so in one step
 * (EINVAL, ENOSYS) the name is looked up first, which two processes at once can outrun.
 */
export function renameNoReplace(fromDir: number, from: string, toDir: number, to: string): boolean {
  const result = syscall(NR.renameat2, fromDir, cstring(from), toDir, cstring(to), RENAME_NOREPLACE);
  if (result === -EEXIST) return false;
  if (result === -EINVAL || result === -ENOSYS) {
    if (existsat(toDir, to)) return false;
    renameat(fromDir, from, toDir, to);
    return true;
  }
  check(result, "renameat2", display(to));
  return true;
}
