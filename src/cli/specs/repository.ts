import { EROFS_VERSION_CHOICES } from "../globals.ts";
import type { CommandSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";
import { CERTIFICATE_OPTIONS } from "./published.ts";
import { REGISTRY_OPTIONS } from "./registry.ts";

/** Commands about the repository itself and the images in it. */
export const REPOSITORY_COMMANDS: readonly CommandSpec[] = [
  {
    name: "init",
    summary: "Create a repository",
    description:
      "Makes the directory, with its parents, and writes meta.json, which records the digest algorithm and the " +
      "layout of images. fs-verity is turned on for meta.json, which makes the repository require it for every " +
      "object, unless --insecure is given. What is already initialised the same way is left as it is.",
    positionals: [
      {
        name: "PATH",
        completes: "directory",
        optional: true,
        help: "Where; without it --repo, --user or --system decide",
      },
    ],
    options: [
      {
        name: "algorithm",
        kind: "string",
        default: "fsverity-sha512-12",
        help: "Digest algorithm: fsverity-sha256-12 or fsverity-sha512-12",
      },
      { name: "insecure", kind: "boolean", help: "Do without fs-verity, for file systems that lack it" },
      {
        name: "reset-metadata",
        kind: "boolean",
        help: "Remove streams, images and meta.json first; objects stay",
      },
      {
        name: "ensure",
        kind: "boolean",
        help: "Accept a repository that is already there, whatever its layout of images",
      },
      {
        name: "erofs-version",
        kind: "enum",
        choices: EROFS_VERSION_CHOICES,
        help: "Layout of the repository's images; 1 unless given here or before the command",
      },
    ],
    load: () => import("../commands/init.ts"),
  },
  {
    name: "cat",
    summary: "Write the content of a splitstream to stdout",
    positionals: [
      {
        name: "NAME",
        completes: "stream",
        help: "A name below streams/, such as refs/NAME or oci-layer-sha256:…",
      },
    ],
    load: () => import("../commands/cat.ts"),
  },
  {
    name: "gc",
    summary: "Remove objects that nothing needs any more",
    description:
      "What the references below images/refs and streams/refs lead to is kept, and the roots named with --root. " +
      "Waits until nobody else uses the repository.",
    options: [
      {
        name: "root",
        short: "r",
        kind: "list",
        completes: "root",
        help: "Keep this image or stream as well",
      },
      { name: "dry-run", short: "n", kind: "boolean", help: "Only say what would be removed" },
      { name: "list", kind: "boolean", help: "Print the path of everything that is removed" },
      {
        name: "why",
        kind: "string",
        value: "OBJECT",
        completes: "object",
        help: "Say what keeps this object, and remove nothing",
        notEmpty: true,
        conflicts: ["root", "dry-run", "list"],
      },
      JSON_OPTION,
    ],
    load: () => import("../commands/gc.ts"),
  },
  {
    name: "transaction",
    summary: "Keep gc from removing anything until this is ended",
    description:
      "Holds the lock that every command holds while it uses the repository, and does nothing else until it is " +
      "interrupted.",
    load: () => import("../commands/transaction.ts"),
  },
  {
    name: "import-image",
    summary: "Store an EROFS image read from stdin under a name",
    positionals: [{ name: "REFERENCE", help: "Its name below images/refs" }],
    load: () => import("../commands/import-image.ts"),
  },
  {
    name: "images",
    aliases: ["list-images"],
    summary: "List the named images",
    options: [JSON_OPTION, { name: "no-trunc", kind: "boolean", help: "Show digests in full" }],
    load: () => import("../commands/images.ts"),
  },
  {
    name: "image-objects",
    summary: "List the objects that an image refers to",
    positionals: [{ name: "NAME", completes: "image", help: "Digest or name of the image" }],
    options: [JSON_OPTION],
    load: () => import("../commands/image-objects.ts"),
  },
  {
    name: "dump-files",
    summary: "Write files of an image as lines of a composefs dumpfile",
    positionals: [
      { name: "IMAGE_NAME", completes: "image", help: "Digest or name of the image" },
      {
        name: "FILES",
        optional: true,
        variadic: true,
        help: "Paths in the image; a directory is written with all below it",
      },
    ],
    options: [
      {
        name: "backing-path-only",
        kind: "boolean",
        help: "Only print where the content is: the path below objects, or 'inline'",
      },
    ],
    load: () => import("../commands/dump-files.ts"),
  },
  {
    name: "fsck",
    summary: "Check the repository for damage, and repair it",
    description:
      "Checks that objects have the content that their names say, that streams and images can be read and lack no " +
      "object, and that links lead somewhere. Names the refs that are affected. --repair brings back what a source " +
      "has, makes EROFS images and links anew that follow from the rest, and says what is left. An object is only " +
      "replaced by one of the same digest. Interrupted repairs can be run again.",
    options: [
      { ...JSON_OPTION, help: "Print JSON; the exit code is then 0 also when damage is found" },
      { name: "metadata-only", kind: "boolean", help: "Don't read the objects" },
      {
        name: "deep",
        kind: "boolean",
        help: "Also rebuild every stream and every image and compare; check container images and commits",
        conflicts: ["metadata-only"],
      },
      {
        name: "repair",
        kind: "boolean",
        help: "Check as with --deep, and mend what can be mended",
        conflicts: ["metadata-only"],
      },
      {
        name: "from",
        kind: "list",
        value: "SOURCE",
        completes: "directory",
        help: "Where to get what is damaged or missing: the directory of another repository, the http or https URL of a published copy, an image as oci pull takes it, or ostree:DIRECTORY",
        requires: ["repair"],
      },
      {
        name: "yes",
        short: "y",
        kind: "boolean",
        help: "Remove links that lead nowhere; move what does not belong in the repository, and damaged objects that no ref needs, to lost+found",
        requires: ["repair"],
      },
      { name: "strict-exit", kind: "boolean", help: "With --json too, exit with 1 when damage is found" },
      ...REGISTRY_OPTIONS,
      ...CERTIFICATE_OPTIONS,
    ],
    load: () => import("../commands/fsck.ts"),
  },
];
