import type { CommandSpec, OptionSpec, PositionalSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";
import { MOUNT_OPTIONS } from "./mount.ts";
import { DELTA_COMMAND } from "./ostree-delta.ts";
import { COMMIT_COMMAND, EXPORT_COMMAND } from "./ostree-write.ts";

const SOURCE: PositionalSpec = {
  name: "SOURCE",
  completes: "commit",
  help: "Name of a commit, its id, or the first digits of its id",
};

/** Of every command that pulls commits. */
const PULL_OPTIONS: readonly OptionSpec[] = [
  {
    name: "base-name",
    kind: "string",
    completes: "commit-name",
    value: "NAME",
    help: "Do not fetch what this commit of the repository has",
    details: "The parent of the commit, and what the ref named so far, always serve as bases.",
  },
  {
    name: "depth",
    kind: "int",
    min: 0,
    max: 1_000_000,
    value: "N",
    help: "Also pull so many generations of parents",
    details: "They get no name: `gc` removes them unless they are tagged.",
  },
  {
    name: "subpath",
    kind: "list",
    value: "PATH",
    notEmpty: true,
    help: "Pull only what is below this path of the commit, which may be given several times",
    details:
      "The image has nothing else but the directories that lead there. What is there of a commit already stays; a " +
      "pull without this option brings in the rest.",
  },
  {
    name: "clean-xattr-names",
    kind: "boolean",
    help: "Leave out the NUL at the end of xattr names, so that SELinux labels and capabilities work",
    details:
      "Without it the image is, byte for byte, what composefs-rs makes, whose xattrs the kernel does not know.",
  },
  JSON_OPTION,
];

const GPG_KEYRING: OptionSpec = {
  name: "gpg-keyring",
  kind: "list",
  value: "FILE",
  notEmpty: true,
  help: "Refuse commits that none of these OpenPGP keys has signed",
};

const ED25519_KEY: OptionSpec = {
  name: "ed25519-key",
  kind: "list",
  value: "KEY|FILE",
  notEmpty: true,
  help: "Refuse commits that none of these ed25519 keys has signed: in base64, or a file of such keys",
};

const APPLY_DELTA: CommandSpec = {
  name: "apply-delta",
  summary: "Bring the commit that a static delta leads to into the repository",
  description:
    "Everything is checked, and nothing is linked before it is proven that nothing is missing. The commit gets no " +
    "name: `gc` removes it unless it is tagged.",
  positionals: [
    {
      name: "PATH",
      completes: "path",
      help: "The superblock of the delta, with its parts in the same directory, or a single file with all of it",
    },
  ],
  options: [
    ...PULL_OPTIONS.filter(({ name }) => name === "clean-xattr-names" || name === "json"),
    GPG_KEYRING,
    ED25519_KEY,
  ],
  load: () => import("../commands/ostree/apply-delta.ts"),
};

const REMOTE: PositionalSpec = {
  name: "REMOTE",
  help: "URL of an ostree repository, or the name of a remote in the machine's configuration of ostree",
};

/** Of every command that speaks to a remote repository. */
const REMOTE_OPTIONS: readonly OptionSpec[] = [
  {
    name: "remote-config",
    kind: "string",
    value: "FILE",
    notEmpty: true,
    help: "Look for the remote in this file too, such as the config of an ostree repository",
    details: "Without it, in /etc/ostree/remotes.d/*.conf and /ostree/repo/config.",
  },
  {
    name: "http-header",
    kind: "list",
    value: "NAME=VALUE",
    notEmpty: true,
    help: "Send this header field with each request",
    details: "Also to the mirrors of a list, but not to other servers that these redirect to.",
  },
  { ...GPG_KEYRING, conflicts: ["no-gpg-verify"] },
  ED25519_KEY,
  {
    name: "no-gpg-verify",
    kind: "boolean",
    help: "Do not look at OpenPGP signatures, although the remote is configured so",
  },
];

/** Commands about commits of ostree. */
export const OSTREE_COMMAND: CommandSpec = {
  name: "ostree",
  summary: "Pull commits of ostree and look at those in the repository",
  subcommands: [
    {
      name: "pull",
      summary: "Bring commits from an ostree repository on a server into the repository",
      description:
        "Reads repositories of the mode archive over HTTP, and of all modes when the URL begins with file://. Every " +
        "object is checked against its checksum; the name is written last, when it is proven that nothing is " +
        "missing. What an interrupted pull has fetched is not fetched again. Signatures are checked when the remote " +
        "is configured so, or keys are given: commits from a URL without keys are not checked for signatures.",
      positionals: [
        REMOTE,
        {
          name: "REF",
          variadic: true,
          help: "A ref, which becomes the name of the commit here, or the id of a commit, which gets no name",
        },
      ],
      options: [
        ...PULL_OPTIONS,
        {
          name: "no-delta",
          kind: "boolean",
          help: "Fetch single objects also where a static delta would do",
        },
        ...REMOTE_OPTIONS,
      ],
      load: () => import("../commands/ostree/pull.ts"),
    },
    {
      name: "list-refs",
      summary: "List the refs of an ostree repository",
      description:
        "Those that the summary of a repository on a server lists, or all of a repository in a directory: its own, and " +
        "as REMOTE:REF what it has pulled from others.",
      positionals: [REMOTE],
      options: [
        {
          name: "subset",
          kind: "string",
          value: "KEY",
          help: "Those for another architecture than this machine's, where the repository lists them apart",
        },
        JSON_OPTION,
        ...REMOTE_OPTIONS,
      ],
      load: () => import("../commands/ostree/list-refs.ts"),
    },
    {
      name: "pull-local",
      summary: "Bring commits from an ostree repository in a directory into the repository",
      description:
        "Reads repositories of all modes: archive, bare, bare-user, bare-user-only and bare-split-xattrs. Every object " +
        "is checked against its checksum; the name is written last, when it is proven that nothing is missing.",
      positionals: [
        { name: "OSTREE_REPO", help: "The directory of the ostree repository" },
        {
          name: "REF",
          variadic: true,
          help: "A ref, which becomes the name of the commit here, or the id of a commit, which gets no name",
        },
      ],
      options: [...PULL_OPTIONS, GPG_KEYRING, ED25519_KEY],
      load: () => import("../commands/ostree/pull-local.ts"),
    },
    APPLY_DELTA,
    DELTA_COMMAND,
    COMMIT_COMMAND,
    EXPORT_COMMAND,
    {
      name: "images",
      summary: "List the names of commits",
      options: [JSON_OPTION],
      load: () => import("../commands/ostree/images.ts"),
    },
    {
      name: "inspect",
      summary: "Show a commit",
      positionals: [SOURCE],
      options: [
        {
          name: "metadata",
          kind: "boolean",
          help: "Show the metadata of the commit, a line for each key",
          conflicts: ["json"],
        },
        { ...JSON_OPTION, help: "Print all that is known of the commit and of its objects as JSON" },
      ],
      load: () => import("../commands/ostree/inspect.ts"),
    },
    {
      name: "dump",
      summary: "Print the tree of a commit as composefs-dump(5)",
      positionals: [SOURCE],
      load: () => import("../commands/ostree/dump.ts"),
    },
    {
      name: "compute-id",
      summary: "Print the digest of a commit's EROFS image, which is made when there is none",
      positionals: [SOURCE],
      load: () => import("../commands/ostree/compute-id.ts"),
    },
    {
      name: "mount",
      summary: "Mount a commit",
      description: "As `cfsctl mount`, with the image of a commit.",
      positionals: [SOURCE, { name: "MOUNTPOINT", help: "The directory to mount it on" }],
      options: MOUNT_OPTIONS,
      load: () => import("../commands/ostree/mount.ts"),
    },
    {
      name: "tag",
      summary: "Give a commit a name",
      positionals: [
        SOURCE,
        { name: "NAME", help: "The new name, which may be that of another commit so far" },
      ],
      load: () => import("../commands/ostree/tag.ts"),
    },
    {
      name: "untag",
      summary: "Remove a name",
      description: "The commit stays until `gc`, unless it has another name.",
      positionals: [{ name: "NAME", completes: "commit-name", help: "The name" }],
      load: () => import("../commands/ostree/untag.ts"),
    },
    {
      name: "fsck",
      summary: "Check commits for damage: all objects against their checksums",
      positionals: [
        { ...SOURCE, optional: true, help: "Check only this commit instead of all that are there" },
      ],
      options: [
        { ...JSON_OPTION, help: "Print JSON; the exit code is then 0 also when damage is found" },
        { name: "strict-exit", kind: "boolean", help: "With --json too, exit with 1 when damage is found" },
      ],
      load: () => import("../commands/ostree/fsck.ts"),
    },
  ],
};
