import { CfsError } from "../errors.ts";
import { type Descriptor, parseDescriptor } from "./descriptor.ts";
import { optionalString, parseJsonObject, requiredArray, stringMap } from "./json.ts";

/** Indexes list platforms, or the tags of a layout with many images. */
export const MAX_INDEX_SIZE = 8 * 1024 * 1024;
const MAX_MANIFESTS = 50_000;

/** Annotation with the tag of a manifest in a layout. */
export const REF_NAME = "org.opencontainers.image.ref.name";

/** An image index or docker manifest list (OCI image specification, image-index.md). */
export interface ImageIndex {
  /** As the index says itself. */
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: ReadonlyMap<string, string>;
}

/** @throws CfsError Invalid */
export function parseIndex(bytes: Uint8Array, what = "image index"): ImageIndex {
  if (bytes.length > MAX_INDEX_SIZE)
    throw new CfsError("Invalid", `the ${what} is larger than ${MAX_INDEX_SIZE} bytes`);
  const object = parseJsonObject(bytes, what);
  const mediaType = optionalString(object, "mediaType", what);
  return {
    ...(mediaType !== undefined && { mediaType }),
    manifests: requiredArray(object, "manifests", what, MAX_MANIFESTS).map((manifest, i) =>
      parseDescriptor(manifest, `${what}: manifest ${i}`),
    ),
    annotations: stringMap(object, "annotations", what),
  };
}
