import type { CommandSpec } from "../tree.ts";

/** Commands that set up this program on a machine. */
export const SHELL_COMMANDS: readonly CommandSpec[] = [
  {
    name: "completion",
    summary: "Print the script that lets a shell complete command lines",
    description:
      "Commands, options and paths are completed, and the names and digests that are in the repository which the " +
      "command line means. The beginning of the script says where to install it; `source <(cfsctl completion bash)` " +
      "tries it out.",
    positionals: [
      {
        name: "SHELL",
        help: "The shell",
        choices: [{ value: "bash" }, { value: "zsh" }, { value: "fish" }],
      },
    ],
    load: () => import("../commands/completion.ts"),
  },
  {
    name: "man",
    summary: "Print the manual page of a command, or write all of them",
    description:
      "The page is in the language of man(7): `cfsctl man oci pull | man -l -` shows it. With --output, the pages of all " +
      "commands are written, to be installed in a directory of manual pages.",
    positionals: [
      {
        name: "COMMAND",
        optional: true,
        variadic: true,
        help: "The command, such as oci pull; cfsctl itself without",
      },
    ],
    options: [
      {
        name: "output",
        short: "o",
        kind: "string",
        value: "DIR",
        notEmpty: true,
        help: "Write all pages into this directory, which is made if it does not exist",
      },
    ],
    load: () => import("../commands/man.ts"),
  },
];
