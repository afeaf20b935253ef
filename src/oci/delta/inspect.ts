import { CfsError, withContext } from "../../errors.ts";
import { blobPieces } from "../blob-pieces.ts";
import { MAX_CONFIG_SIZE, parseConfig } from "../config.ts";
import type { Descriptor } from "../descriptor.ts";
import { digestAlgorithm, type OciDigest } from "../digest.ts";
import { isDelta, type Manifest, parseManifest } from "../manifest.ts";
import type { ImageSource } from "../source.ts";
import { DeltaSource } from "./delta-source.ts";
import { DeltaAnnotation, type DeltaArtifact, TAR_DIFF } from "./format.ts";
import { TarDiffReader, type TarDiffSummary } from "./summary.ts";

/** A layer of the target. */
export interface InspectedLayer {
  readonly digest: OciDigest;
  readonly diffId: OciDigest | undefined;
  /** Bytes, as the target's manifest has it. */
  readonly size: number;
  /** How it is in the delta; undefined when the source image has it. */
  readonly part: Descriptor | undefined;
  /** Of a tar-diff. */
  readonly summary: TarDiffSummary | undefined;
}

export interface InspectedDelta {
  readonly delta: DeltaArtifact;
  readonly target: Manifest;
  /** Digest of the source image's manifest, if the delta tells. */
  readonly source: string | undefined;
  /** In the order of the target. */
  readonly layers: readonly InspectedLayer[];
}

/** Reads all of a delta. @throws CfsError Unsupported for what is none; Corrupt, Invalid */
export async function inspectDelta(source: ImageSource): Promise<InspectedDelta> {
  const found = await source.manifest();
  const manifest = parseManifest(found.bytes, digestAlgorithm(found.digest));
  if (!isDelta(manifest)) {
    throw new CfsError("Unsupported", `${source.label}: ${manifest.digest} is no delta`, {
      hint: "`cfsctl oci delta create` makes them",
    });
  }
  using opened = await DeltaSource.open(source, manifest);
  const { delta } = opened;
  const { bytes, digest } = await opened.manifest();
  const target = parseManifest(bytes, digestAlgorithm(digest));
  const config = await opened.readDocument(target.config, MAX_CONFIG_SIZE, "Config");
  const { diffIds } = parseConfig(config, digestAlgorithm(target.config.digest));
  const summaries = new Map<OciDigest, TarDiffSummary>();
  for (const [to, part] of delta.layers) {
    try {
      if (part.mediaType === TAR_DIFF) summaries.set(to, await summarize(source, part));
    } catch (error) {
      throw withContext(`${source.label}: layer ${to}`, error);
    }
  }
  return {
    delta,
    target,
    source: manifest.annotations.get(DeltaAnnotation.source),
    layers: target.layers.map(({ digest: layer, size }, i) => ({
      digest: layer,
      diffId: diffIds[i],
      size,
      part: delta.layers.get(layer),
      summary: summaries.get(layer),
    })),
  };
}

async function summarize({ blobs }: ImageSource, part: Descriptor): Promise<TarDiffSummary> {
  const reader = new TarDiffReader();
  try {
    for await (const piece of blobPieces(blobs, part)) reader.add(piece);
    return reader.finish();
  } finally {
    reader.close();
  }
}
