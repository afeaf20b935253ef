import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** What a program of `test/interop/install-*` has put into the cache, or the place that a variable names. */
export function findInstalled(variable: string, path: string): string | undefined {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const candidates = [process.env[variable], join(cache, "cfsctl", path)];
  return candidates.find((candidate) => candidate !== undefined && existsSync(candidate));
}
