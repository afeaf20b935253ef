import type { OciDigest } from "./digest.ts";

// Names of the streams that make up an image. The digest is part of the name in its full form, colon included.
export const MANIFEST_PREFIX = "oci-manifest-";
export const INDEX_PREFIX = "oci-index-";
export const CONFIG_PREFIX = "oci-config-";
export const LAYER_PREFIX = "oci-layer-";
const BLOB_PREFIX = "oci-blob-";

export function manifestStream(digest: OciDigest): string {
  return MANIFEST_PREFIX + digest;
}

/** @param digest of an index of images for several platforms. */
export function indexStream(digest: OciDigest): string {
  return INDEX_PREFIX + digest;
}

export function configStream(digest: OciDigest): string {
  return CONFIG_PREFIX + digest;
}

/** @param id the diff ID of a layer, or the digest of an artifact's blob. */
export function layerStream(id: OciDigest): string {
  return LAYER_PREFIX + id;
}

/** @param digest of a layer as it was transported. */
export function blobStream(digest: OciDigest): string {
  return BLOB_PREFIX + digest;
}

/** Name of the reference from a manifest to a layer as it was transported. */
export function blobRef(digest: OciDigest): string {
  return `blob:${digest}`;
}

/** Name of the reference from a manifest to its config. */
export function configRef(digest: OciDigest): string {
  return `config:${digest}`;
}
