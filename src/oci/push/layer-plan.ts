import type { Compression } from "../../compress/sync.ts";
import { CfsError } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import { openStreamObject } from "../../repository/streams.ts";
import { CONTENT_LAYER } from "../../splitstream/format.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { Descriptor } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import { imageConfigOf, type StoredImage } from "../image.ts";
import { findKeptBlob } from "../kept-blob.ts";
import { layerType } from "../media-types.ts";

/** How layers are compressed that are not there as they were pulled. */
export interface Packing {
  readonly compression: Compression;
  readonly level: number | undefined;
}

/** A layer of an image that is pushed, and of what its blob is made. */
export interface LayerPlan {
  /** As the manifest in the repository has it. */
  readonly original: Descriptor;
  /** The blob is the one that the manifest names. */
  readonly asPulled: boolean;
  /** Object of the splitstream that has the content. */
  readonly stream: ObjectId;
  readonly contentType: string;
  /** Of the stream's content. */
  readonly digest: OciDigest;
  /** Bytes of the stream's content. */
  readonly size: number;
  readonly compression: Compression;
  readonly mediaType: string;
}

/**
 * What becomes of each layer: the blob that was pulled where it was kept, or can be made of the layer because it was
 * not compressed; else the layer is compressed anew.
 * @param onLost is told of blobs that were kept, but are not complete any more.
 * @throws CfsError Corrupt, Invalid; Unsupported when the manifest knows no layers that are compressed so
 */
export function planLayers(
  repository: Repository,
  image: StoredImage,
  packing: Packing,
  onLost: (digest: OciDigest) => void,
): LayerPlan[] {
  const { manifest, document, config } = image;
  const diffIds = imageConfigOf(image)?.diffIds;
  if (diffIds !== undefined && diffIds.length !== manifest.layers.length) {
    throw new CfsError(
      "Invalid",
      `the manifest has ${manifest.layers.length} layers, but the config names ${diffIds.length} diff IDs`,
    );
  }
  return manifest.layers.map((original, i): LayerPlan => {
    const { digest } = original;
    const diffId = diffIds?.[i];
    const asPulled = {
      original,
      asPulled: true,
      digest,
      compression: "none",
      mediaType: original.mediaType,
    } as const;
    const kept =
      diffId === undefined
        ? document.namedRefs.get(digest)
        : findKeptBlob(repository, document, digest, onLost);
    if (kept !== undefined) return { ...asPulled, ...streamOf(repository, kept) };
    const stream = diffId === undefined ? undefined : config.document.namedRefs.get(diffId);
    if (diffId === undefined || stream === undefined) {
      throw new CfsError("Corrupt", `there is no reference to the layer ${diffId ?? digest}`, {
        hint: "pull the image again",
      });
    }
    const layer = { ...streamOf(repository, stream), contentType: CONTENT_LAYER };
    if (diffId === digest) return { ...asPulled, ...layer };
    const mediaType = layerType(manifest.mediaType, packing.compression);
    if (mediaType === undefined) {
      throw new CfsError(
        "Unsupported",
        `manifests of docker's schema 2 have no layers compressed with ${packing.compression}`,
        { hint: "use --compression gzip" },
      );
    }
    return {
      original,
      asPulled: false,
      digest: diffId,
      ...layer,
      compression: packing.compression,
      mediaType,
    };
  });
}

/** A blob of an artifact may be an image's layer, too, and kept as such. */
function streamOf(repository: Repository, id: ObjectId): Pick<LayerPlan, "stream" | "contentType" | "size"> {
  using opened = openStreamObject(repository, id);
  const { contentType, streamSize } = opened.reader;
  return { stream: id, contentType, size: Number(streamSize) };
}
