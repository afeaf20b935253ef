import { CfsError } from "../errors.ts";
import { repositoryPath } from "../repository/location.ts";
import { Repository } from "../repository/repository.ts";
import type { Context } from "./context.ts";

/** Opens the repository that the global options name, to be closed by `using`. Waiting and upgrades are announced. */
export function openRepository({ globals, err }: Context): Repository {
  if (globals.noRepo)
    throw new CfsError("Invalid", "this command needs a repository: --no-repo does not go with it");
  return Repository.open(repositoryPath(globals), {
    ...(globals.hash !== undefined && { hash: globals.hash }),
    ...(globals.erofsVersion !== undefined && { erofsVersion: globals.erofsVersion }),
    insecure: globals.insecure,
    requireVerity: globals.requireVerity,
    upgrade: !globals.noUpgrade,
    onWait: (message) => err.line(`cfsctl: ${message}`),
    onNotice: (message) => err.line(`cfsctl: ${message}`),
  });
}
