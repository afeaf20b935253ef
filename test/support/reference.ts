import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const VERSION = "0.9.4";

/** Path of the reference implementation's binary (see test/interop/install-reference), or undefined. */
export function findReference(): string | undefined {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const candidates = [process.env.CFSCTL_REFERENCE, join(cache, `cfsctl/reference-${VERSION}/bin/cfsctl`)];
  return candidates.find((path) => path !== undefined && existsSync(path));
}
