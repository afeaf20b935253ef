import type { OptionValues } from "./arguments.ts";
import type { Globals, ProgressMode } from "./context.ts";
import type { Choice, OptionSpec } from "./tree.ts";

const HASH_CHOICES: readonly Choice[] = [
  { value: "sha256", help: "SHA-256, 64 hexadecimal digits" },
  { value: "sha512", help: "SHA-512, 128 hexadecimal digits" },
];

export const EROFS_VERSION_CHOICES: readonly Choice[] = [
  { value: "0", help: "compact inodes, breadth first; what mkcomposefs 1.0.8 writes by default" },
  { value: "1", help: "as 0, always marked as version 1" },
  { value: "2", help: "extended inodes, depth first; the older layout of composefs-rs" },
];

/** Options that stand before or after any command's name. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    name: "repo",
    kind: "string",
    help: "Use the repository in this directory",
    notEmpty: true,
    conflicts: ["user", "system"],
  },
  {
    name: "user",
    kind: "boolean",
    help: "Use the user's repository, $HOME/.var/lib/composefs",
    details: "This is the default for everybody but root.",
    conflicts: ["system"],
  },
  {
    name: "system",
    kind: "boolean",
    help: "Use the system's repository, /sysroot/composefs",
    details: "This is the default for root.",
  },
  {
    name: "hash",
    kind: "enum",
    choices: HASH_CHOICES,
    help: "The fs-verity hash that the repository must have",
    details: "Without it the repository's own is used; where no repository is opened, sha512.",
  },
  {
    name: "erofs-version",
    kind: "enum",
    choices: EROFS_VERSION_CHOICES,
    help: "Layout of the images made by this run",
    details: "Without it the repository's own default is used. The repository's settings stay as they are.",
  },
  {
    name: "insecure",
    kind: "boolean",
    help: "Accept a repository without fs-verity",
    hidden: true,
  },
  {
    name: "require-verity",
    kind: "boolean",
    help: "Refuse a repository without fs-verity",
  },
  {
    name: "no-upgrade",
    kind: "boolean",
    help: "Refuse an old repository without meta.json instead of upgrading it",
  },
  {
    name: "no-repo",
    kind: "boolean",
    help: "Open no repository; for commands that can do without",
  },
  {
    name: "jobs",
    kind: "int",
    value: "N",
    min: 1,
    max: 1024,
    env: "CFSCTL_JOBS",
    help: "How many things to do at the same time",
    details: "Without it: what a GNU make job server allows, else the number of usable CPUs.",
  },
  {
    name: "progress",
    kind: "enum",
    value: "HOW",
    default: "auto",
    choices: [
      { value: "auto", help: "bars on a terminal, lines elsewhere" },
      { value: "plain", help: "one line when something starts or ends, and every ten seconds" },
      { value: "json", help: "one JSON object a line" },
      { value: "none", help: "nothing" },
    ],
    help: "How to show progress on stderr",
  },
  {
    name: "debug",
    kind: "boolean",
    help: "Show where in the program an error came from",
  },
];

/** The typed form of checked option values. */
export function globalsOf(values: OptionValues): Globals {
  const flag = (name: string) => values.get(name) === true;
  const text = (name: string) => values.get(name) as string | undefined;
  const repo = text("repo");
  const hash = text("hash") as Globals["hash"];
  const erofsVersion = text("erofs-version");
  const jobs = text("jobs");
  return {
    ...(repo !== undefined && { repo }),
    ...(flag("user") && { user: true }),
    ...(flag("system") && { system: true }),
    ...(hash !== undefined && { hash }),
    ...(erofsVersion !== undefined && { erofsVersion: Number(erofsVersion) as 0 | 1 | 2 }),
    ...(jobs !== undefined && { jobs: Number(jobs) }),
    insecure: flag("insecure"),
    requireVerity: flag("require-verity"),
    noUpgrade: flag("no-upgrade"),
    noRepo: flag("no-repo"),
    progress: text("progress") as ProgressMode,
    debug: flag("debug"),
  };
}
