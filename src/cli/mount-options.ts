import type { MountOptions } from "../mount/mount-image.ts";
import type { Arguments } from "./arguments.ts";

/** What the user wants of a mount; the declaration has made sure that the directories come in pairs. */
export function mountOptions(args: Arguments): MountOptions {
  const upperdir = args.text("upperdir");
  const workdir = args.text("workdir");
  return {
    ...(upperdir !== undefined && workdir !== undefined && { upper: { upperdir, workdir } }),
    readWrite: args.flag("read-write"),
  };
}
