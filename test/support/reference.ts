import { findInstalled } from "./installed.ts";

const VERSION = "0.9.4";

/** Path of the reference implementation's binary (see test/interop/install-reference), or undefined. */
export function findReference(): string | undefined {
  return findInstalled("CFSCTL_REFERENCE", `reference-${VERSION}/bin/cfsctl`);
}
