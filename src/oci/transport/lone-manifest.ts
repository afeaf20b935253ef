import type { Descriptor } from "../descriptor.ts";
import { type Selection, selectManifest } from "../select.ts";
import type { DocumentStore, FoundManifest, PublishedDocument } from "../source.ts";

/**
 * The manifest of a place that has only one image, if that is for the platform.
 * @param store has the config.
 * @throws CfsError NotFound when it is for another platform; Invalid, Corrupt
 */
export function selectLone(
  store: DocumentStore,
  { bytes, digest, mediaType }: PublishedDocument,
  { platform, anyPlatform }: Selection,
): Promise<FoundManifest> {
  const lone: Descriptor = { mediaType, digest, size: bytes.length, annotations: new Map() };
  const withManifest: DocumentStore = {
    readDocument: async (descriptor, max, what) =>
      descriptor === lone ? bytes : await store.readDocument(descriptor, max, what),
  };
  const index = { manifests: [lone], annotations: new Map() };
  return selectManifest(withManifest, index, undefined, platform, { anyPlatform });
}
