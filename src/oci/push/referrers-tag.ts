import { parseJsonObject, requiredArray } from "../json.ts";
import { isIndexType, OCI_INDEX } from "../media-types.ts";
import { referrersTag } from "../registry/referrers.ts";
import type { RegistryRepository } from "../registry/types.ts";
import type { Publication } from "./target.ts";

const MAX_REFERRERS = 10_000;

/**
 * Adds a manifest to the index that stands in for a list of referrers where a registry keeps none (distribution
 * specification, "Referrers Tag Schema").
 */
export async function addReferrer(
  repository: Pick<RegistryRepository, "manifestByTag" | "putManifest">,
  document: Publication,
): Promise<void> {
  const tag = referrersTag(document.subject!.digest);
  const present = await repository.manifestByTag(tag);
  const others =
    present === undefined || !isIndexType(present.mediaType)
      ? []
      : requiredArray(parseJsonObject(present.bytes, tag), "manifests", tag, MAX_REFERRERS);
  const { mediaType, digest, bytes, artifactType, annotations } = document;
  if (others.some((entry) => (entry as { digest?: unknown } | null)?.digest === digest)) return;
  const entry = {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations.size > 0 && { annotations: Object.fromEntries(annotations) }),
  };
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...others, entry] };
  await repository.putManifest(tag, Buffer.from(JSON.stringify(index)), OCI_INDEX);
}
