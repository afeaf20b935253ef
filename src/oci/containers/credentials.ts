import { existsSync } from "node:fs";
import { join } from "node:path";
import { CfsError, withContext } from "../../errors.ts";
import type { Credentials } from "../registry/types.ts";
import { type AuthFileEntry, hostNames, readAuthFile } from "./auth-file.ts";
import { askCredentialHelper, findCredentialHelper } from "./credential-helper.ts";
import { type Places, variable } from "./places.ts";
import { AUTH_FILES_HELPER } from "./registries-conf-files.ts";

interface AuthFile {
  readonly file: string;
  readonly plain: boolean;
}

/**
 * The user's credentials for a repository: the first that the stores of `credential-helpers`
 * (containers-registries.conf(5)) have, where `containers-auth.json` stands for the files of containers-auth.json(5).
 * @param authFile to read before all other files; it must exist.
 * @throws CfsError Invalid, NotFound or Io; never with a secret in it
 */
export async function findCredentials(
  host: string,
  path: string,
  helpers: readonly string[],
  places: Places,
  authFile?: string,
): Promise<Credentials | undefined> {
  if (authFile !== undefined && !existsSync(authFile))
    throw new CfsError("NotFound", `the credentials file ${authFile} does not exist`);
  for (const helper of helpers) {
    const found =
      helper === AUTH_FILES_HELPER
        ? await searchFiles(host, path, places, authFile)
        : await askCredentialHelper(helper, host, places.environment);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function searchFiles(
  host: string,
  path: string,
  places: Places,
  authFile: string | undefined,
): Promise<Credentials | undefined> {
  for (const { file, plain } of authFiles(places, authFile)) {
    const entry = readAuthFile(file, host, path, plain);
    if (entry === undefined) continue;
    try {
      const found = entry.credentials ?? (await askHelpers(entry, host, places));
      if (found !== undefined) return found;
    } catch (error) {
      throw withContext(`credentials file ${file}`, error);
    }
  }
  return undefined;
}

/** The first one may be written by `login` of other tools; the others are those of older tools and of Docker. */
function authFiles(places: Places, authFile: string | undefined): AuthFile[] {
  const { home, root, uid } = places;
  const runtime = variable(places, "XDG_RUNTIME_DIR") ?? join(root, "/run/containers", String(uid));
  const inRuntime =
    variable(places, "XDG_RUNTIME_DIR") === undefined
      ? join(runtime, "auth.json")
      : join(runtime, "containers/auth.json");
  const config = variable(places, "XDG_CONFIG_HOME") ?? join(home, ".config");
  const docker = variable(places, "DOCKER_CONFIG") ?? join(home, ".docker");
  return [
    { file: authFile ?? variable(places, "REGISTRY_AUTH_FILE") ?? inRuntime, plain: false },
    { file: join(config, "containers/auth.json"), plain: false },
    { file: join(docker, "config.json"), plain: false },
    { file: join(home, ".dockercfg"), plain: true },
  ];
}

async function askHelpers(
  { helper, store }: AuthFileEntry,
  host: string,
  { environment }: Places,
): Promise<Credentials | undefined> {
  if (helper !== undefined) return askCredentialHelper(helper, host, environment);
  // The tools for containers do not know "credsStore"; a helper that is not installed must not keep their users from
  // images that need no credentials.
  if (store === undefined || findCredentialHelper(store, environment) === undefined) return undefined;
  for (const name of [...hostNames(host)].reverse()) {
    const found = await askCredentialHelper(store, name, environment);
    if (found !== undefined) return found;
  }
  return undefined;
}
