import { CfsError, kindOf, withContext } from "../errors.ts";
import { acquireJobs } from "../parallel/jobs.ts";
import { repositoryAlgorithm } from "../repository/algorithm.ts";
import { directoryTree } from "../repository/directory-tree.ts";
import { repositoryPath } from "../repository/location.ts";
import { ENOTDIR, isErrno } from "../sys/errno.ts";
import type { Directory } from "../tree/model.ts";
import { parseXattrFilter, type XattrFilter } from "../tree/transform.ts";
import { type Algorithm, algorithmOf, SHA512 } from "../verity/digest.ts";
import type { Arguments } from "./arguments.ts";
import type { Context, Globals } from "./context.ts";

/** The xattrs that `--xattrs` keeps; undefined when the tree is to stay as it is found. */
export function xattrsArgument(args: Arguments): XattrFilter | undefined {
  return args.flag("no-propagate-usr-to-root") ? undefined : parseXattrFilter(args.text("xattrs")!);
}

/** The tree of the directory PATH, hashed as the options say, for commands that need no repository. */
export async function directoryArgument(
  { globals, progress }: Context,
  args: Arguments,
): Promise<{ root: Directory; algorithm: Algorithm }> {
  const algorithm = chosenAlgorithm(globals);
  using jobs = acquireJobs(globals.jobs);
  const xattrs = xattrsArgument(args);
  const root = await directoryTree(args.required("PATH"), {
    algorithm,
    xattrs,
    bootable: args.flag("bootable"),
    oneFileSystem: args.flag("one-file-system"),
    jobs: jobs.count,
    progress,
  });
  return { root, algorithm };
}

/** That of `--hash`, else of the repository if there is one, else SHA-512. */
export function chosenAlgorithm(globals: Globals): Algorithm {
  if (globals.hash !== undefined) return algorithmOf(globals.hash);
  const path = globals.noRepo ? undefined : likelyRepositoryPath(globals);
  if (path === undefined) return SHA512;
  try {
    return repositoryAlgorithm(path);
  } catch (error) {
    if (kindOf(error) === "NotFound" || isErrno(error, ENOTDIR)) return SHA512;
    throw withContext("no --hash was given, and that of the repository can't be read", error);
  }
}

/** Undefined where nobody can tell whose repository is meant, which is no reason to fail here. */
function likelyRepositoryPath(globals: Globals): string | undefined {
  try {
    return repositoryPath(globals);
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}
