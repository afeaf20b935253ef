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

/** Of commands that make the tree of an image. */
export const BOOTABLE_OPTION: OptionSpec = {
  name: "bootable",
  kind: "boolean",
  help: "Make the bootable form: /boot and /sysroot empty, SELinux labels set",
  details:
    "The labels are those that the SELinux policy in the tree has for the files; without one, there are none.",
};
