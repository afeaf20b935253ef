import type { CommandSpec, OptionSpec } from "../tree.ts";
import { JSON_OPTION, XATTRS_OPTION } from "./common.ts";

/** Of every command that compares trees. */
export const DIFF_OPTIONS: readonly OptionSpec[] = [
  {
    name: "ignore",
    kind: "list",
    value: "FIELD[,FIELD]",
    notEmpty: true,
    help: "Leave out differences in these fields",
    details:
      "The fields are entry, type, mode, uid, gid, mtime, size, digest, verity, target, rdev, nlink, hardlink " +
      "and xattr.",
  },
  {
    name: "ignore-known",
    kind: "boolean",
    help: "Leave out differences that have a known reason",
    details:
      "Images are made by rules: /run is empty, the root has the metadata of /usr, only some extended " +
      "attributes are kept. Copying and unpacking has its own: whole seconds, broken hard links, one owner.",
  },
  XATTRS_OPTION,
  { ...JSON_OPTION, help: "Print JSON, one difference a line" },
];

export const DIFF_COMMAND: CommandSpec = {
  name: "diff",
  summary: "Compare images, dumpfiles and directories, and say why digests differ",
  description:
    "EXPECTED and FOUND are EROFS images in the repository, container images, or paths of directories, EROFS images " +
    "and dumpfiles; what begins with '/' or '.' is a path. Prints a line for each difference: entry, field, expected " +
    "and found value, and the reason where one is known. Content is compared by fs-verity digest. When no file " +
    "differs, the images are compared, too: format and headers, order and place of inodes and extended attributes, " +
    "what is kept in the image. A tree without an image gets one for that, in the format of the other. Exits with 1 " +
    "when something differs.",
  positionals: [
    { name: "EXPECTED", completes: "comparable", help: "What is right" },
    { name: "FOUND", completes: "comparable", help: "What is compared with it" },
  ],
  options: DIFF_OPTIONS.map((option) =>
    option.name === "xattrs"
      ? { ...option, help: "Which extended attributes of container images to keep" }
      : option,
  ),
  load: () => import("../commands/diff.ts"),
};
