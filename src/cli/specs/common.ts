import type { OptionSpec } from "../tree.ts";

/** Of every command that lists, inspects, checks or pulls. */
export const JSON_OPTION: OptionSpec = { name: "json", kind: "boolean", help: "Print JSON" };

/** Of commands that make the tree of a container image. */
export const XATTRS_OPTION: OptionSpec = {
  name: "xattrs",
  kind: "enum",
  choices: [
    { value: "allowlist-only", help: "only security.capability" },
    { value: "keep-user-xattrs", help: "user.* as well" },
  ],
  default: "allowlist-only",
  help: "Which extended attributes to keep",
};
