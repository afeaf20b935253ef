import { isSingleMember } from "../../../compress/gzip-members.ts";
import { withContext } from "../../../errors.ts";
import { openTemporary } from "../../../repository/temporary.ts";
import { pwriteAll } from "../../../sys/file.ts";
import { libc } from "../../../sys/libc.ts";
import { blobPieces } from "../../blob-pieces.ts";
import type { Descriptor } from "../../descriptor.ts";
import { layerCompression, OCI_LAYER_PREFIXES } from "../../media-types.ts";
import { planLayers } from "../../push/layer-plan.ts";
import { packBlob } from "../../push/pack-job.ts";
import type { ReadyBlob } from "../../push/target.ts";
import type { ImageSource } from "../../source.ts";
import type { DeltaImage } from "./delta-image.ts";

const FILE_MODE = 0o644;

/**
 * The blob of a layer as it was published, for a delta: to be closed by the caller.
 * @param directory for the file.
 * @returns undefined when it is no longer there, or not one that all programs read that apply deltas.
 * @throws CfsError Corrupt when it is not what its digest says
 */
export async function openOriginal(
  { manifest, origin }: DeltaImage,
  layer: number,
  directory: number,
): Promise<ReadyBlob | undefined> {
  const descriptor = manifest.layers[layer]!;
  const compression = layerCompression(descriptor.mediaType);
  if (!isReadEverywhere(descriptor.mediaType)) return undefined;
  const blob =
    "source" in origin ? await copied(origin.source, descriptor, directory) : kept(origin, layer, directory);
  if (blob === undefined) return undefined;
  if (compression !== "gzip" || isSingleMember(blob.fd, blob.size)) return blob;
  libc.close(blob.fd);
  return undefined;
}

function isReadEverywhere(mediaType: string): boolean {
  return OCI_LAYER_PREFIXES.some((prefix) => mediaType.startsWith(prefix));
}

function kept(
  { repository, image }: Extract<DeltaImage["origin"], { image: unknown }>,
  layer: number,
  directory: number,
): ReadyBlob | undefined {
  const packing = { compression: "gzip", level: undefined } as const;
  const plan = planLayers(repository, image, packing, () => undefined)[layer]!;
  if (!plan.asPulled) return undefined;
  return packBlob({
    store: repository.objects.handle,
    stream: plan.stream,
    contentType: plan.contentType,
    digest: plan.digest,
    compression: "none",
    level: undefined,
    directory,
    progress: new SharedArrayBuffer(8),
    index: 0,
  });
}

async function copied(
  { blobs, label }: ImageSource,
  descriptor: Descriptor,
  directory: number,
): Promise<ReadyBlob> {
  const { digest, size } = descriptor;
  const fd = openTemporary(directory, FILE_MODE);
  try {
    let at = 0;
    for await (const piece of blobPieces(blobs, descriptor)) {
      pwriteAll(fd, piece, at, "temporary file");
      at += piece.length;
    }
    return { digest, size, fd, isTemporary: true };
  } catch (error) {
    libc.close(fd);
    throw withContext(label, error);
  }
}
