import { CfsError, kindOf } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Descriptor } from "../descriptor.ts";
import { digestAlgorithm, isDigest } from "../digest.ts";
import { isDelta, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "../manifest.ts";
import { isManifestType } from "../media-types.ts";
import type { ImageLayer } from "../pull/pull.ts";
import type { RelatedManifests } from "../source.ts";
import { checkTarget, parseDelta } from "./artifact.ts";
import { DeltaAnnotation, type DeltaArtifact } from "./format.ts";
import { hasSource } from "./source-image.ts";

/** As many deltas from images that are here are looked at. */
const MAX_LOOKED_AT = 20;

/** A delta, and how much has to be transported with it and without. Bytes. */
export interface FoundDelta {
  readonly delta: DeltaArtifact;
  readonly size: number;
  readonly wholeSize: number;
}

/**
 * Finds the smallest delta that makes an image from one that is in the repository, among what refers to it.
 * @param layers of the image that are missing.
 * @returns undefined when there is none that is smaller than the layers.
 */
export async function findDelta(
  repository: Repository,
  related: RelatedManifests,
  target: Manifest,
  layers: readonly ImageLayer[],
): Promise<FoundDelta | undefined> {
  const wholeSize = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  let best: FoundDelta | undefined;
  let lookedAt = 0;
  for (const descriptor of await related.referrers(target.digest)) {
    if (!mayApply(repository, descriptor)) continue;
    if (++lookedAt > MAX_LOOKED_AT) break;
    const delta = await tryReadDelta(related, descriptor, target);
    if (delta === undefined || !hasSource(repository, delta.sourceConfig)) continue;
    const size = sizeWith(delta, layers);
    if (size < (best?.size ?? wholeSize)) best = { delta, size, wholeSize };
  }
  return best;
}

/** Whether it is a delta, and may be one from an image that is here: not every list of referrers says from which. */
function mayApply(repository: Repository, descriptor: Descriptor): boolean {
  if (!isDelta(descriptor) || !isManifestType(descriptor.mediaType)) return false;
  const source = descriptor.annotations.get(DeltaAnnotation.sourceConfig);
  return source === undefined || (isDigest(source) && hasSource(repository, source));
}

/** Undefined for one that is of no use: there may be others. */
async function tryReadDelta(
  related: RelatedManifests,
  descriptor: Descriptor,
  target: Manifest,
): Promise<DeltaArtifact | undefined> {
  try {
    const bytes = await related.readDocument(descriptor, MAX_MANIFEST_SIZE, "Manifest");
    const manifest = parseManifest(bytes, digestAlgorithm(descriptor.digest));
    if (!isDelta(manifest)) return undefined;
    const delta = parseDelta(manifest);
    checkTarget(delta, target);
    return delta;
  } catch (error) {
    if (error instanceof CfsError && kindOf(error) !== "Cancelled") return undefined;
    throw error;
  }
}

function sizeWith({ layers: parts }: DeltaArtifact, layers: readonly ImageLayer[]): number {
  return layers.reduce((sum, { descriptor }) => sum + (parts.get(descriptor.digest) ?? descriptor).size, 0);
}
