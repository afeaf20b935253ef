import type { CommandSpec } from "../tree.ts";

/** `mkcomposefs`; which versions there are is told by the command itself. */
export const MKCOMPOSEFS_COMMAND: CommandSpec = {
  name: "mkcomposefs",
  summary: "Make a composefs image of a directory or a dumpfile",
  description:
    "The image holds metadata and files of up to 64 bytes; larger files are named by their fs-verity digests. Needs no " +
    "repository, and always uses SHA-256. Takes the options of the program mkcomposefs of composefs 1.0, and works like " +
    "it when it is called by that name.",
  positionals: [
    {
      name: "SOURCE",
      completes: "path",
      help: "The directory; with --from-file a dumpfile, or '-' for standard input",
    },
    {
      name: "IMAGE",
      completes: "path",
      optional: true,
      help: "The file to write, or '-' for standard output",
    },
  ],
  options: [
    { name: "from-file", kind: "boolean", help: "SOURCE is a dumpfile (composefs-dump(5))" },
    { name: "print-digest", kind: "boolean", help: "Print the image's fs-verity digest as well" },
    {
      name: "print-digest-only",
      kind: "boolean",
      help: "Print the digest only; IMAGE must be left out",
    },
    { name: "use-epoch", kind: "boolean", help: "Give all files the time 0" },
    { name: "skip-devices", kind: "boolean", help: "Leave out device nodes" },
    { name: "skip-xattrs", kind: "boolean", help: "Leave out all extended attributes" },
    { name: "user-xattrs", kind: "boolean", help: "Keep extended attributes of user.* only" },
    {
      name: "min-version",
      kind: "int",
      value: "N",
      help: "The least version of the format: 0 or 1 [default: 0]",
    },
    {
      name: "max-version",
      kind: "int",
      value: "N",
      help: "The greatest version that may be chosen for trees with whiteouts [default: 1]",
    },
    {
      name: "digest-store",
      kind: "string",
      value: "DIR",
      notEmpty: true,
      help: "Also copy the files above 64 bytes there, named by their digests; nothing for dumpfiles",
    },
    { name: "hardlinks", kind: "boolean", help: "Keep hard links; else every name is a file of its own" },
    {
      name: "threads",
      kind: "int",
      value: "N",
      min: 1,
      max: 1024,
      help: "How many files to read at the same time",
    },
  ],
  load: () => import("../commands/mkcomposefs.ts"),
};

/** `composefs-info` */
export const COMPOSEFS_INFO_COMMAND: CommandSpec = {
  name: "composefs-info",
  summary: "Say what is in composefs images that are files",
  description:
    "Needs no repository, and reads images with SHA-256 only. Takes the options of the program composefs-info of " +
    "composefs 1.0, and prints what that prints when it is called by that name.",
  positionals: [
    {
      name: "COMMAND",
      help: "What to do",
      choices: [
        { value: "ls", help: "list all files, and where their content is" },
        { value: "dump", help: "write the images as dumpfiles (composefs-dump(5))" },
        { value: "objects", help: "list the paths of the files that hold the content" },
        { value: "missing-objects", help: "list those that are not below --basedir" },
        { value: "measure-file", help: "print the fs-verity digests of files" },
      ],
    },
    {
      name: "FILES",
      completes: "path",
      optional: true,
      variadic: true,
      help: "The images; any files for measure-file",
    },
  ],
  options: [
    { name: "basedir", kind: "string", value: "DIR", notEmpty: true, help: "Where the objects are" },
    {
      name: "filter",
      kind: "list",
      value: "NAME",
      help: "For ls and dump: only this entry of the root, with all below",
    },
  ],
  load: () => import("../commands/composefs-info.ts"),
};
