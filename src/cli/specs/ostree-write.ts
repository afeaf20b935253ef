import type { CommandSpec, OptionSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";

/** Of `commit`. */
const COMMIT_OPTIONS: readonly OptionSpec[] = [
  {
    name: "dir",
    kind: "boolean",
    help: "SOURCE is a directory",
    details: "Everything is taken as it is found. There must be no devices, fifos and sockets in it.",
    conflicts: ["tar"],
  },
  {
    name: "tar",
    kind: "boolean",
    help: "SOURCE is a tar archive, plain or compressed with gzip or zstd; - is standard input",
  },
  {
    name: "reference",
    kind: "string",
    value: "REF",
    help: "Name of the commit, which is also written into it",
  },
  {
    name: "parent",
    kind: "string",
    completes: "commit",
    value: "COMMIT",
    help: "The commit before this one: its name or id, or none",
    details: "Of directories and archives it is the commit that REF has so far, unless told otherwise.",
  },
  { name: "subject", kind: "string", help: "What the commit is, in one line" },
  { name: "body", kind: "string", value: "TEXT", help: "More about it" },
  {
    name: "timestamp",
    kind: "string",
    value: "TIME",
    help: "When it was made: 2024-02-03T04:05:06Z, or seconds since 1970; now unless SOURCE_DATE_EPOCH is set",
  },
  {
    name: "add-metadata-string",
    kind: "list",
    value: "KEY=VALUE",
    help: "Write a text into the commit's metadata",
  },
  {
    name: "add-metadata",
    kind: "list",
    value: "KEY=VALUE",
    help: "Write a value in GVariant text format into the commit's metadata",
  },
  { name: "no-xattrs", kind: "boolean", help: "Leave out extended attributes" },
  {
    name: "canonical-permissions",
    kind: "boolean",
    help: "Let everything belong to root, without extended attributes and permission bits beyond 0755",
    details: "Such commits can be in repositories of mode bare-user-only.",
  },
  {
    name: "clean-xattr-names",
    kind: "boolean",
    help: "Give xattrs the names that the kernel knows in the image, and those that ostree knows in the commit",
    details:
      "Without it, images have the NUL at the end of the names that commits of directories have, and commits of " +
      "images lack it when the image does, as composefs-rs has it.",
  },
  JSON_OPTION,
];

export const COMMIT_COMMAND: CommandSpec = {
  name: "commit",
  summary: "Make a commit of an image, a directory or a tar archive",
  description:
    "A commit of a directory has the id that `ostree commit` gives it, with the same parent, text, time and " +
    "metadata. Its image is made and linked at once.",
  positionals: [
    { name: "SOURCE", completes: "image", help: "An image of the repository: its id, or refs/NAME" },
  ],
  options: COMMIT_OPTIONS,
  load: () => import("../commands/ostree/commit.ts"),
};

export const EXPORT_COMMAND: CommandSpec = {
  name: "export",
  summary: "Write a commit into an ostree repository",
  description:
    "Every object is checked against its checksum; objects that are there already are kept. The ref is written when " +
    "everything else is on disk. Only root can write into repositories of mode bare.",
  positionals: [
    { name: "SOURCE", completes: "commit", help: "Name of a commit, its id, or the first digits of its id" },
    { name: "OSTREE_REPO_PATH", help: "The directory of the ostree repository" },
  ],
  options: [
    {
      name: "reference",
      kind: "string",
      value: "REF",
      help: "Let this ref of the ostree repository name it",
    },
    {
      name: "mode",
      kind: "enum",
      choices: [
        { value: "archive", help: "compressed, to be served over HTTP" },
        { value: "bare", help: "files as they are" },
        { value: "bare-user", help: "files that belong to the user, the rest in an extended attribute" },
        { value: "bare-user-only", help: "files that belong to the user, the rest must be canonical" },
      ],
      help: "Create the repository with this mode when it does not exist",
    },
    JSON_OPTION,
  ],
  load: () => import("../commands/ostree/export.ts"),
};
