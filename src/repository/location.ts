import { CfsError } from "../errors.ts";

/** Which repository the user means; at most one of them is set. */
export interface RepositoryChoice {
  readonly repo?: string;
  readonly user?: boolean;
  readonly system?: boolean;
}

const SYSTEM_REPOSITORY = "/sysroot/composefs";
const USER_REPOSITORY = ".var/lib/composefs";

/**
 * Path of the repository: the given one, else that of the system for root and that of the user for others.
 * @throws CfsError Invalid when the user's repository is meant and HOME is not set
 */
export function repositoryPath(
  choice: RepositoryChoice,
  environment: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.getuid?.() ?? 0,
): string {
  if (choice.repo !== undefined) return choice.repo;
  if (choice.system || (!choice.user && uid === 0)) return SYSTEM_REPOSITORY;
  const home = environment.HOME;
  if (home === undefined) {
    throw new CfsError("Invalid", "$HOME must be set when in user mode", {
      hint: "set HOME, or name the repository with --repo",
    });
  }
  return home.endsWith("/") ? `${home}${USER_REPOSITORY}` : `${home}/${USER_REPOSITORY}`;
}
