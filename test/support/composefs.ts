import { findInstalled } from "./installed.ts";

const VERSION = "1.0.8";

/** Directory with `mkcomposefs` and `composefs-info` of composefs 1.0 (see test/interop/install-composefs), or undefined. */
export function findComposefs(): string | undefined {
  return findInstalled("CFSCTL_COMPOSEFS", `composefs-${VERSION}`);
}
