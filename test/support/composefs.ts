import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const VERSION = "1.0.8";

/** Directory with `mkcomposefs` and `composefs-info` of composefs 1.0 (see test/interop/install-composefs), or undefined. */
export function findComposefs(): string | undefined {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const candidates = [process.env.CFSCTL_COMPOSEFS, join(cache, `cfsctl/composefs-${VERSION}`)];
  return candidates.find((path) => path !== undefined && existsSync(join(path, "mkcomposefs")));
}
