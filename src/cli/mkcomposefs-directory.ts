import type { ByteString } from "../bytes.ts";
import { acquireJobs } from "../parallel/jobs.ts";
import { directoryTree } from "../repository/directory-tree.ts";
import type { ObjectStoreHandle } from "../repository/objects.ts";
import type { Fd } from "../sys/fd.ts";
import { AT_FDCWD, mkdirat, O_DIRECTORY, O_RDONLY, open, pathBytes } from "../sys/file.ts";
import type { Directory } from "../tree/model.ts";
import { separateHardLinks } from "../tree/plain.ts";
import { SHA256 } from "../verity/digest.ts";
import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";

const DIRECTORY_MODE = 0o755;

/** The tree of the directory of which `mkcomposefs` makes an image; dumpfiles need nothing of this. */
export async function sourceTree(
  context: Context,
  args: Arguments,
  source: string,
  wantedXattr: ((name: ByteString) => boolean) | undefined,
): Promise<Directory> {
  using jobs = acquireJobs(args.int("threads") ?? context.globals.jobs);
  using store = args.text("digest-store") === undefined ? undefined : openStore(args.text("digest-store")!);
  const root = await directoryTree(source, {
    algorithm: SHA256,
    xattrs: undefined,
    ...(wantedXattr !== undefined && { wantedXattr }),
    ...(store !== undefined && { store: storeIn(store) }),
    jobs: jobs.count,
    progress: context.progress,
  });
  if (!args.flag("hardlinks")) separateHardLinks(root);
  return root;
}

/** Makes the directory when there is none, but not what leads to it. */
function openStore(path: string): Fd {
  mkdirat(AT_FDCWD, pathBytes(path), DIRECTORY_MODE);
  return open(path, O_RDONLY | O_DIRECTORY);
}

function storeIn(directory: Fd): ObjectStoreHandle {
  return { repositoryFd: directory.fd, algorithm: SHA256, verity: "try", folder: "." };
}
