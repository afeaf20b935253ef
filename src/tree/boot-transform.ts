import { withContext } from "../errors.ts";
import type { Directory } from "./model.ts";
import { type ReadFile, readPolicy } from "./selinux/policy.ts";
import { relabel, removeLabels } from "./selinux/relabel.ts";
import { emptyRootDirectory } from "./transform.ts";
import { subdirectory } from "./walk.ts";

/** What boots the system or is mounted over: it is no part of a bootable image. */
export const EMPTIED_FOR_BOOT = ["boot", "sysroot"] as const;

/**
 * Turns the tree of an image into that of its bootable form: `/boot` and `/sysroot` are emptied, and files get the
 * SELinux labels that the policy in the tree has for them, or none when it has no policy. Comes after what
 * `applyOciTransform` does, if that is wanted.
 * @throws CfsError NotFound when there is no such directory; Invalid, Unsupported for the policy
 */
export function applyBootTransform(root: Directory, readFile: ReadFile): void {
  try {
    for (const name of EMPTIED_FOR_BOOT) {
      subdirectory(root, name);
      emptyRootDirectory(root, name);
    }
    const policy = readPolicy(root, readFile);
    if (policy === undefined) removeLabels(root);
    else relabel(root, policy);
  } catch (error) {
    throw withContext("making the tree bootable", error);
  }
}
