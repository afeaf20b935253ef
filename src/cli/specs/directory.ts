import type { CommandSpec, OptionSpec, PositionalSpec } from "../tree.ts";
import { BOOTABLE_OPTION, XATTRS_OPTION } from "./common.ts";

const PATH: PositionalSpec = { name: "PATH", completes: "directory", help: "The directory that is the root" };

const OPTIONS: readonly OptionSpec[] = [
  BOOTABLE_OPTION,
  {
    name: "no-propagate-usr-to-root",
    kind: "boolean",
    help: "Take everything as it is found",
    details:
      "Without it the root gets the metadata of /usr, /run is emptied, and only some extended attributes are kept.",
  },
  { ...XATTRS_OPTION, details: "Without effect together with --no-propagate-usr-to-root." },
  {
    name: "one-file-system",
    kind: "boolean",
    help: "Leave directories of other file systems empty",
  },
];

/** Commands about directories of the local file system. */
export const DIRECTORY_COMMANDS: readonly CommandSpec[] = [
  {
    name: "create-image",
    summary: "Store a directory and the image of it",
    description:
      "Files above 64 bytes become objects, all else is in the image. A repository that keeps several formats gets " +
      "an image in each; the one of its default format is named and printed.",
    positionals: [PATH, { name: "IMAGE_NAME", optional: true, help: "Name of the image below images/refs" }],
    options: OPTIONS,
    load: () => import("../commands/create-image.ts"),
  },
  {
    name: "compute-id",
    summary: "Print the digest that the image of a directory has",
    description:
      "Nothing is stored, and no repository is needed. Without --erofs-version it is the image in format 1, " +
      "whatever the repository's default is.",
    positionals: [PATH],
    options: OPTIONS,
    load: () => import("../commands/compute-id.ts"),
  },
  {
    name: "create-dumpfile",
    summary: "Write the files of a directory as a composefs dumpfile",
    description: "Nothing is stored, and no repository is needed.",
    positionals: [PATH],
    options: OPTIONS,
    load: () => import("../commands/create-dumpfile.ts"),
  },
];
