import { CfsError, kindOf } from "../../errors.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { type FoundDelta, findDelta } from "../delta/find-delta.ts";
import type { DeltaArtifact } from "../delta/format.ts";
import { type SubstitutedLayers, substituteLayers } from "../delta/substitutes.ts";
import type { Manifest } from "../manifest.ts";
import type { ImageSource } from "../source.ts";
import type { DownloadLimits } from "./downloads.ts";
import { isAboutContent } from "./import-layers.ts";
import type { ImageLayer } from "./pull.ts";

/** Blobs of a delta that are fetched at the same time, however many threads there are. */
const MAX_DELTA_CONNECTIONS = 6;

/** A delta that is smaller than the missing layers may be taken, or one has to be. */
export type DeltaUse = "never" | "auto" | "require";

/** How much of a delta is fetched at a time: by default one blob while another one is applied. */
export function downloadLimits(jobs: number | undefined): DownloadLimits {
  const connections = Math.min(jobs ?? 1, MAX_DELTA_CONNECTIONS);
  return { connections, blobs: connections + 1 };
}

export interface ChosenLayers extends SubstitutedLayers {
  readonly delta: DeltaArtifact | undefined;
  /** Without the delta there is still the image. */
  readonly isOptional: boolean;
}

/** What to bring instead of the missing layers, as they are or out of a delta. */
export async function chooseLayers(
  repository: Repository,
  source: ImageSource,
  manifest: Manifest,
  missing: readonly ImageLayer[],
  { use, progress = silentProgress }: { readonly use: DeltaUse; readonly progress?: Progress | undefined },
): Promise<ChosenLayers> {
  if (source.delta !== undefined) {
    const { delta } = source;
    return { ...substituteLayers(repository, delta, missing, "refuse"), delta, isOptional: false };
  }
  const whole = { layers: missing, patched: undefined, delta: undefined, isOptional: false };
  if (use === "never" || missing.length === 0) return whole;
  const found = await findDeltaFor(repository, source, manifest, missing, use);
  if (found === undefined) return whole;
  const { delta, size, wholeSize } = found;
  progress.event({
    type: "message",
    text: `taking delta ${delta.manifest.digest}: ${size} bytes instead of ${wholeSize}`,
  });
  return {
    ...substituteLayers(repository, delta, missing, "keep"),
    delta,
    isOptional: use === "auto",
  };
}

/** @throws CfsError NotFound when there has to be one */
async function findDeltaFor(
  repository: Repository,
  { related }: ImageSource,
  manifest: Manifest,
  missing: readonly ImageLayer[],
  use: DeltaUse,
): Promise<FoundDelta | undefined> {
  try {
    const found = related && (await findDelta(repository, related, manifest, missing));
    if (found !== undefined || use === "auto") return found;
  } catch (error) {
    const isHarmless = use === "auto" && error instanceof CfsError && kindOf(error) !== "Cancelled";
    if (isHarmless) return undefined;
    throw error;
  }
  throw new CfsError(
    "NotFound",
    "there is no delta from an image in the repository that is smaller than the image",
    {
      hint: "--delta auto takes the image then",
    },
  );
}

/** Whether a delta that need not be used is to be given up for this: it does not fit, or is damaged or gone. */
export function isReasonToGiveUp(error: unknown): boolean {
  return isAboutContent(error) || kindOf(error) === "NotFound";
}
