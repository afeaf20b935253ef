import { CfsError } from "../../errors.ts";
import { SharedBudget } from "../../parallel/budget.ts";
import type { Repository } from "../../repository/repository.ts";
import type { PatchedImage } from "../pull/layer-job.ts";
import type { ImageLayer } from "../pull/pull.ts";
import { type DeltaArtifact, TAR_DIFF } from "./format.ts";
import { readSourceImage } from "./source-image.ts";

/** Layers of an image, of which a delta has some, and what those are made from. */
export interface SubstitutedLayers {
  readonly layers: readonly ImageLayer[];
  /** Undefined when nothing has to be patched. */
  readonly patched: PatchedImage | undefined;
}

/**
 * Takes layers from a delta.
 * @param others what to do with layers that the delta does not have: when it is all there is, they can't be had.
 * @throws CfsError NotFound when the source image, or a layer that the delta does not have, is missing
 */
export function substituteLayers(
  repository: Repository,
  delta: DeltaArtifact,
  layers: readonly ImageLayer[],
  others: "refuse" | "keep",
): SubstitutedLayers {
  if (layers.length === 0) return { layers, patched: undefined };
  const image = readSourceImage(repository, delta.sourceConfig);
  const substituted = layers.map((layer): ImageLayer => {
    const { descriptor, id } = layer;
    const substitute = delta.layers.get(descriptor.digest);
    if (substitute === undefined && others === "refuse") {
      throw new CfsError("NotFound", `layer ${id}, which the delta leaves out, is not in the repository`, {
        hint: "pull the image that the delta is based on again, or the whole image instead of the delta",
      });
    }
    // One that is there as it was published is what the target's manifest says, however the delta calls it.
    const isPublished = substitute === undefined || substitute.digest === descriptor.digest;
    return isPublished ? layer : { ...layer, substitute };
  });
  const isPatched = substituted.some(({ substitute }) => substitute?.mediaType === TAR_DIFF);
  return {
    layers: substituted,
    patched: isPatched ? { image, memory: SharedBudget.memory() } : undefined,
  };
}
