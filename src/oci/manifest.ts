import { CfsError } from "../errors.ts";
import { DELTA_TYPE, EARLY_DELTA_TYPE } from "./delta/format.ts";
import { type Descriptor, parseDescriptor } from "./descriptor.ts";
import { computeDigest, type OciDigest } from "./digest.ts";
import { optionalString, parseJsonObject, requiredArray, requiredObject, stringMap } from "./json.ts";
import {
  DOCKER_CONFIG,
  DOCKER_MANIFEST,
  IN_TOTO,
  isImageConfigType,
  isManifestType,
  OCI_MANIFEST,
} from "./media-types.ts";

/** Larger manifests are refused, as registries do (distribution specification: at least 4 MiB must be accepted). */
export const MAX_MANIFEST_SIZE = 4 * 1024 * 1024;
const MAX_LAYERS = 10_000;

/** An image manifest, of OCI or of docker's schema 2. */
export interface Manifest {
  /** As published; the digest is of these bytes. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly digest: OciDigest;
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations: ReadonlyMap<string, string>;
  readonly artifactType?: string;
  readonly subject?: Descriptor;
}

/**
 * @param algorithm of the digest that the manifest is known by.
 * @throws CfsError Invalid, Unsupported
 */
export function parseManifest(bytes: Uint8Array<ArrayBufferLike>, algorithm = "sha256"): Manifest {
  if (bytes.length > MAX_MANIFEST_SIZE)
    throw new CfsError("Invalid", `the manifest is larger than ${MAX_MANIFEST_SIZE} bytes`);
  const object = parseJsonObject(bytes, "manifest");
  if (object.schemaVersion !== 2) {
    throw new CfsError(
      "Unsupported",
      `manifest schema version ${String(object.schemaVersion)} is not supported`,
      {
        hint:
          object.schemaVersion === 1
            ? "push the image again with a current tool"
            : "only version 2 is understood",
      },
    );
  }
  const config = parseDescriptor(requiredObject(object, "config", "manifest"), "manifest: config");
  const mediaType =
    optionalString(object, "mediaType", "manifest") ??
    (config.mediaType === DOCKER_CONFIG ? DOCKER_MANIFEST : OCI_MANIFEST);
  if (!isManifestType(mediaType))
    throw new CfsError("Unsupported", `manifest media type ${mediaType} is not supported`);
  const layers = requiredArray(object, "layers", "manifest", MAX_LAYERS).map((layer, i) =>
    parseDescriptor(layer, `manifest: layer ${i}`),
  );
  const artifactType = optionalString(object, "artifactType", "manifest");
  return {
    bytes,
    digest: computeDigest(bytes, algorithm),
    mediaType,
    config,
    layers,
    annotations: stringMap(object, "annotations", "manifest"),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(object.subject === undefined || object.subject === null
      ? {}
      : { subject: parseDescriptor(object.subject, "manifest: subject") }),
  };
}

/**
 * Whether the manifest is of a container image; else it is an artifact, whose layers are opaque. Attestations that
 * builders add to an index have the config of an image, but no tar.
 */
export function isContainerImage({ config, layers }: Manifest): boolean {
  if (!isImageConfigType(config.mediaType)) return false;
  return layers.length === 0 || !layers.every(({ mediaType }) => mediaType === IN_TOTO);
}

/** What kind of artifact it is (distribution specification, "Listing Referrers"); undefined for container images. */
export function artifactTypeOf(manifest: Manifest): string | undefined {
  return manifest.artifactType ?? (isContainerImage(manifest) ? undefined : manifest.config.mediaType);
}

/** Bytes of config and layers together, as they were published. */
export function publishedSize({ config, layers }: Manifest): number {
  return layers.reduce((sum, { size }) => sum + size, config.size);
}

/** Whether it is a delta between two images. */
export function isDelta({ artifactType }: Pick<Manifest, "artifactType">): boolean {
  return artifactType === DELTA_TYPE || artifactType === EARLY_DELTA_TYPE;
}
