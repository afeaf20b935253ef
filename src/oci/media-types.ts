import type { Compression } from "../compress/sync.ts";

// OCI image specification, media-types.md.
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
// Docker image manifest version 2, schema 2.
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";

/** A statement about an image (in-toto attestation framework). */
export const IN_TOTO = "application/vnd.in-toto+json";

export function isManifestType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

/** Whether a config of this type describes a file system made of tar layers. */
export function isImageConfigType(mediaType: string): boolean {
  return mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;
}

const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
export const DOCKER_LAYER_GZIP = `${DOCKER_LAYER}.gzip`;
const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/** What the types of layers in the OCI image specification begin with. */
export const OCI_LAYER_PREFIXES: readonly string[] = [OCI_LAYER, OCI_FOREIGN_LAYER];

const LAYER_TYPES: ReadonlyMap<string, Compression> = new Map([
  ...[OCI_LAYER, OCI_FOREIGN_LAYER].flatMap((type): [string, Compression][] => [
    [type, "none"],
    [`${type}+gzip`, "gzip"],
    [`${type}+zstd`, "zstd"],
  ]),
  ...[DOCKER_LAYER, DOCKER_FOREIGN_LAYER].flatMap((type): [string, Compression][] => [
    [type, "none"],
    [`${type}.gzip`, "gzip"],
    [`${type}.zstd`, "zstd"],
  ]),
]);

/** How a layer of this media type is compressed; undefined when it is no tar: the type decides, never the bytes. */
export function layerCompression(mediaType: string): Compression | undefined {
  return LAYER_TYPES.get(mediaType);
}

/**
 * The type of a layer that is compressed so.
 * @param manifestType of the manifest that names it.
 * @returns undefined where manifests of this type know no such layers.
 */
export function layerType(manifestType: string, compression: Compression): string | undefined {
  if (manifestType !== DOCKER_MANIFEST)
    return compression === "none" ? OCI_LAYER : `${OCI_LAYER}+${compression}`;
  if (compression === "zstd") return undefined;
  return compression === "none" ? DOCKER_LAYER : `${DOCKER_LAYER}.${compression}`;
}
