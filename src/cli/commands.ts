import { COMPOSEFS_INFO_COMMAND, MKCOMPOSEFS_COMMAND } from "./specs/composefs.ts";
import { DIFF_COMMAND } from "./specs/diff.ts";
import { DIRECTORY_COMMANDS } from "./specs/directory.ts";
import { MOUNT_COMMANDS } from "./specs/mount.ts";
import { OCI_COMMAND } from "./specs/oci.ts";
import { OSTREE_COMMAND } from "./specs/ostree.ts";
import { PUBLISHED_COMMANDS } from "./specs/published.ts";
import { REPOSITORY_COMMANDS } from "./specs/repository.ts";
import { SEEING_COMMANDS } from "./specs/seeing.ts";
import { SHELL_COMMANDS } from "./specs/shell.ts";
import type { CommandSpec } from "./tree.ts";

/** Every command there is. A new group gets a file in `specs/` and a line here. */
export const ROOT: CommandSpec = {
  name: "cfsctl",
  summary: "Keep images and file trees as content-addressed, verified objects, and mount them",
  subcommands: [
    ...REPOSITORY_COMMANDS,
    ...DIRECTORY_COMMANDS,
    DIFF_COMMAND,
    ...SEEING_COMMANDS,
    MKCOMPOSEFS_COMMAND,
    COMPOSEFS_INFO_COMMAND,
    ...PUBLISHED_COMMANDS,
    ...MOUNT_COMMANDS,
    OCI_COMMAND,
    OSTREE_COMMAND,
    ...SHELL_COMMANDS,
  ],
};
