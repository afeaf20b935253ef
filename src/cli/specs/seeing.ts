import type { CommandSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";

/** Commands that show what a repository holds. */
export const SEEING_COMMANDS: readonly CommandSpec[] = [
  {
    name: "stats",
    summary: "Show how much there is in the repository, and what images share",
    description:
      "Lists what has a name, the oldest first: container images, EROFS images, ostree commits. SIZE is what it needs, " +
      "OWN what nothing else needs, and ADDED what nothing before it in the list needs. Unused objects are what no " +
      "name leads to; gc removes them. Sizes are those of the files, before the file system rounds or compresses them.",
    options: [JSON_OPTION],
    load: () => import("../commands/stats.ts"),
  },
  {
    name: "report",
    summary: "Write a page about the repository for a browser",
    description:
      "Shows the images with their layers, what they share, how the repository grew from tag to tag, and the largest " +
      "files. The page is a single file without scripts; it loads nothing from anywhere.",
    options: [
      {
        name: "html",
        kind: "string",
        value: "FILE",
        required: true,
        notEmpty: true,
        help: "Where to write the page; - for stdout. A file that is there is replaced.",
      },
    ],
    load: () => import("../commands/report.ts"),
  },
];
