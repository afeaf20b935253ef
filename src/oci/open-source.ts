import { LayoutArchive } from "./archive.ts";
import { LayoutDirectory, LayoutSource } from "./layout.ts";
import { hostPlatform, type Platform } from "./platform.ts";
import { enforcePolicy } from "./policy.ts";
import type { ImageReference } from "./reference.ts";
import type { ImageSource } from "./source.ts";

export interface SourceOptions {
  /** For which an image is wanted; that of this machine by default. */
  readonly platform?: Platform;
  /** Signature policy to use instead of the user's or the system's. */
  readonly policyFile?: string;
}

/**
 * Opens what a reference names, if the signature policy lets it in; nothing but the index is read yet.
 * @param temporaryDirectory descriptor of a directory for unnamed files.
 */
export function openSource(
  reference: ImageReference,
  temporaryDirectory: number,
  { platform = hostPlatform(), policyFile }: SourceOptions = {},
): ImageSource {
  enforcePolicy(reference, policyFile);
  const { path, tag } = reference;
  const files =
    reference.transport === "oci" ? new LayoutDirectory(path) : new LayoutArchive(path, temporaryDirectory);
  return new LayoutSource(files, tag, platform);
}
