import type { CommandSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";

export const DELTA_COMMAND: CommandSpec = {
  name: "delta",
  summary: "Make static deltas in ostree repositories, and look at them",
  subcommands: [
    {
      name: "create",
      summary: "Make a static delta, by which clients get from one commit to another with few requests",
      description:
        "Writes it into the ostree repository, which has to be of mode archive, as `ostree static-delta generate` " +
        "does; one that is there is replaced. Every object is checked on the way. It needs no composefs repository.",
      positionals: [
        { name: "OSTREE_REPO", help: "The directory of the ostree repository" },
        { name: "FROM", help: "Ref or id of the commit that clients have, or `-` for a delta from nothing" },
        { name: "TO", help: "Ref or id of the commit that it leads to" },
      ],
      options: [
        {
          name: "inline",
          kind: "boolean",
          help: "Put all parts into the superblock: a delta in a single file",
        },
        {
          name: "min-fallback-size",
          kind: "int",
          min: 0,
          max: 1000,
          value: "MEGABYTES",
          help: "Let clients fetch larger new files on their own (default 4, 0 for none)",
          details: "Files of more than 32 MiB are always fetched on their own.",
        },
        JSON_OPTION,
      ],
      load: () => import("../commands/ostree/delta-create.ts"),
    },
    {
      name: "inspect",
      summary: "Show what a static delta holds: sizes, parts, operations, signatures",
      description: "Every part is checked against its checksum. It needs no composefs repository.",
      positionals: [
        {
          name: "PATH",
          completes: "path",
          help: "The superblock of a delta, a delta in a single file, or an ostree repository",
        },
        {
          name: "FROM",
          optional: true,
          help: "In a repository: ref or id of the commit that clients have, or `-` for a delta from nothing",
        },
        { name: "TO", optional: true, help: "In a repository: ref or id of the commit that it leads to" },
      ],
      options: [JSON_OPTION],
      load: () => import("../commands/ostree/delta-inspect.ts"),
    },
  ],
};
