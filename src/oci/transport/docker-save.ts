import { CfsError } from "../../errors.ts";
import type { ImageConfig } from "../config.ts";
import { asObject, requiredArray, requiredString } from "../json.ts";
import { DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST } from "../media-types.ts";
import { formatDockerReference, parseDockerReference } from "../registry/reference.ts";

const MAX_IMAGES = 10_000;
const MAX_TAGS = 100_000;
const MAX_LAYERS = 10_000;

/** An image in the `manifest.json` of what `docker save` writes (moby, image/spec/v1.2.md). */
export interface SavedImage {
  /** Path of the config in the archive. */
  readonly config: string;
  /** `NAME:TAG` each. */
  readonly tags: readonly string[];
  /** Paths of the tars of the layers, the lowest first. */
  readonly layers: readonly string[];
}

/** @throws CfsError Invalid */
export function parseSavedImages(bytes: Uint8Array): SavedImage[] {
  const what = "manifest.json";
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new CfsError("Invalid", `the ${what} is not JSON`, { cause: error });
  }
  return requiredArray({ images: value }, "images", what, MAX_IMAGES).map((item, i) => {
    const where = `${what}: image ${i}`;
    const object = asObject(item, where);
    const strings = (key: string, max: number) =>
      object[key] === undefined || object[key] === null
        ? []
        : requiredArray(object, key, where, max).map((text) => {
            if (typeof text === "string") return text;
            throw new CfsError("Invalid", `${where}: "${key}" must have strings only`);
          });
    return {
      config: requiredString(object, "Config", where),
      tags: strings("RepoTags", MAX_TAGS),
      layers: strings("Layers", MAX_LAYERS),
    };
  });
}

/**
 * The image that is meant: the only one, that with a tag, or that at a place.
 * @param wanted tag in full, or place from 0 on.
 * @throws CfsError NotFound; Usage when it is not clear which one is meant
 */
export function chooseSavedImage(
  images: readonly SavedImage[],
  wanted: string | number | undefined,
): SavedImage {
  if (typeof wanted === "number") {
    const image = images[wanted];
    if (image !== undefined) return image;
    throw new CfsError(
      "NotFound",
      `Invalid source index @${wanted}, only ${images.length} manifest items available`,
    );
  }
  const tags = images.flatMap((image) => image.tags);
  if (wanted === undefined) {
    if (images.length === 1) return images[0]!;
    throw new CfsError("Invalid", `Unexpected tar manifest.json: expected 1 item, got ${images.length}`, {
      hint:
        images.length === 0
          ? "the archive has no image"
          : `name one of its images: ${tags.slice(0, 10).join(", ") || `:@0 to :@${images.length - 1}`}`,
    });
  }
  const image = images.find((candidate) => candidate.tags.some((tag) => inFull(tag) === wanted));
  if (image !== undefined) return image;
  throw new CfsError("NotFound", `Tag "${wanted}" not found`, {
    hint: tags.length === 0 ? "its images have no tags" : `it has ${tags.slice(0, 10).join(", ")}`,
  });
}

/** `docker.io/library/alpine:3` for `alpine:3`; what is no reference stays as it is. */
function inFull(tag: string): string {
  try {
    return formatDockerReference(parseDockerReference(tag));
  } catch {
    return tag;
  }
}

/**
 * The manifest of such an image, which has none of its own, in the form that skopeo and podman give it: layers by
 * their diff IDs. It says gzip of layers that are plain.
 * @param sizes bytes of the plain layers, in the order of the diff IDs.
 */
export function makeManifest(config: ImageConfig, sizes: readonly number[]): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: DOCKER_MANIFEST,
    config: { mediaType: DOCKER_CONFIG, size: config.bytes.length, digest: config.digest },
    layers: config.diffIds.map((digest, i) => ({ mediaType: DOCKER_LAYER_GZIP, size: sizes[i], digest })),
  });
  return new Uint8Array(Buffer.from(text));
}
