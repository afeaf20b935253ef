import { findInstalled } from "./installed.ts";

const VERSION = "v0.4.1-0.20260415123852-8e7a7e1030f7";

/**
 * Path of Go's tar-patch, which applies a tar-diff to files that were unpacked (see test/interop/install-tar-patch), or
 * undefined.
 */
export function findTarPatch(): string | undefined {
  return findInstalled("TAR_PATCH", `tar-diff-${VERSION}/tar-patch`);
}

/** Path of Go's tar-diff, which makes what tar-patch applies, or undefined. */
export function findTarDiff(): string | undefined {
  return findInstalled("TAR_DIFF", `tar-diff-${VERSION}/tar-diff`);
}
