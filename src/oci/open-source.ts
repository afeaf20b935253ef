import { LayoutArchive } from "./archive.ts";
import { LayoutDirectory, LayoutSource } from "./layout.ts";
import { hostPlatform, type Platform } from "./platform.ts";
import type { ImageReference } from "./reference.ts";
import type { ImageSource } from "./source.ts";

/**
 * Opens what a reference names; nothing but the index is read yet.
 * @param temporaryDirectory descriptor of a directory for unnamed files.
 * @param platform for which an image is wanted; that of this machine by default.
 */
export function openSource(
  reference: ImageReference,
  temporaryDirectory: number,
  platform: Platform = hostPlatform(),
): ImageSource {
  const { path, tag } = reference;
  const files =
    reference.transport === "oci" ? new LayoutDirectory(path) : new LayoutArchive(path, temporaryDirectory);
  return new LayoutSource(files, tag, platform);
}
