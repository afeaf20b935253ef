import { CfsError } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { type OciDigest, parseDigest } from "../digest.ts";
import type { Manifest } from "../manifest.ts";
import { DeltaAnnotation, type DeltaArtifact, DeltaContent, PartAnnotation } from "./format.ts";

/**
 * What the manifest of a delta says. Of several parts of one role, the last one counts; parts of unknown roles, and
 * layers that don't say what they are for, mean nothing.
 * @throws CfsError Invalid
 */
export function parseDelta(manifest: Manifest): DeltaArtifact {
  const { annotations } = manifest;
  const sourceConfig = annotations.get(DeltaAnnotation.sourceConfig);
  if (sourceConfig === undefined)
    throw new CfsError(
      "Invalid",
      `the delta does not say from which image it is: ${DeltaAnnotation.sourceConfig} is missing`,
    );
  const parts = partsOf(manifest);
  const imageManifest = parts.byContent.get(DeltaContent.imageManifest)?.at(-1);
  const imageConfig = parts.byContent.get(DeltaContent.imageConfig)?.at(-1);
  const source = digestIn(sourceConfig, DeltaAnnotation.sourceConfig);
  if (imageManifest === undefined) throw new CfsError("Invalid", "the delta has no image manifest");
  if (imageConfig === undefined) throw new CfsError("Invalid", "the delta has no image config");
  return {
    manifest,
    sourceConfig: source,
    imageManifest,
    imageConfig,
    layers: parts.layers,
    signatures: parts.byContent.get(DeltaContent.cosignSignature) ?? [],
    signatureContents: parts.byContent.get(DeltaContent.cosignSignatureContent) ?? [],
  };
}

function partsOf({ layers: listed }: Manifest) {
  const byContent = new Map<string, Descriptor[]>();
  const layers = new Map<OciDigest, Descriptor>();
  for (const part of listed) {
    const content = part.annotations.get(PartAnnotation.content) ?? "";
    const same = byContent.get(content);
    if (same === undefined) byContent.set(content, [part]);
    else same.push(part);
    const to = part.annotations.get(PartAnnotation.to) ?? "";
    if (content === DeltaContent.imageLayer && to !== "") layers.set(digestIn(to, PartAnnotation.to), part);
  }
  return { byContent, layers };
}

function digestIn(text: string, annotation: string): OciDigest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw new CfsError("Invalid", `${annotation} of the delta is no digest`, {
      cause: error instanceof Error ? new Error(error.message) : error,
    });
  }
}

/**
 * Compares what a delta makes with the image that it is for.
 * @throws CfsError Invalid
 */
export function checkTarget(delta: DeltaArtifact, target: Manifest): void {
  const { imageManifest, imageConfig, layers } = delta;
  if (imageManifest.digest !== target.digest)
    throw new CfsError("Invalid", `the delta is for image ${imageManifest.digest}, not for ${target.digest}`);
  if (imageConfig.digest !== target.config.digest) {
    throw new CfsError(
      "Invalid",
      `the manifest of the delta's target has config ${target.config.digest}, but the delta has ${imageConfig.digest}`,
    );
  }
  const known = new Set(target.layers.map(({ digest }) => digest));
  for (const to of layers.keys()) {
    if (!known.has(to))
      throw new CfsError("Invalid", `the delta has layer ${to}, which is not one of the target's`);
  }
}
