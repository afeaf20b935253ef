import type { CommandSpec, OptionSpec } from "../tree.ts";

/** Of every command that mounts an image. */
export const MOUNT_OPTIONS: readonly OptionSpec[] = [
  {
    name: "upperdir",
    kind: "string",
    value: "DIR",
    notEmpty: true,
    help: "Put this directory with earlier changes on top",
    requires: ["workdir"],
  },
  {
    name: "workdir",
    kind: "string",
    value: "DIR",
    notEmpty: true,
    help: "An empty directory on the file system of --upperdir, for the kernel's use",
    requires: ["upperdir"],
  },
  {
    name: "read-write",
    kind: "boolean",
    help: "Let the mount be changed; changes go to --upperdir",
    requires: ["upperdir"],
  },
];

export const MOUNT_COMMANDS: readonly CommandSpec[] = [
  {
    name: "mount",
    summary: "Mount an image",
    description:
      "The kernel reads the image and finds the files' content among the repository's objects. The digest of the " +
      "image is checked first; where the repository has fs-verity, the kernel checks every block that it reads. " +
      "Needs root.",
    positionals: [
      {
        name: "NAME",
        completes: "image",
        help: "Digest of the image (HEX or sha256:HEX), name of a ref, or refs/NAME",
      },
      { name: "MOUNTPOINT", help: "The directory to mount it on" },
    ],
    options: MOUNT_OPTIONS,
    load: () => import("../commands/mount.ts"),
  },
];
