import { CfsError } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import { digestAlgorithm, type OciDigest } from "../digest.ts";
import { isDelta, MAX_MANIFEST_SIZE, parseManifest } from "../manifest.ts";
import { isManifestType } from "../media-types.ts";
import type { ImageSource } from "../source.ts";
import { type PullOptions, type PullReport, pullManifest } from "./pull.ts";

/** More than this is no list of signatures, but an attempt to fill the disk. */
const MAX_REFERRERS = 1000;

/**
 * Pulls what refers to images in the same place, without tags: the images keep it. What refers to a referrer comes
 * along as well (a signature of a list of contents). Deltas, which are not for keeping, are left out.
 * @param subjects manifests or indexes that are in the repository.
 * @throws CfsError Unsupported for sources that hold nothing but the image
 */
export async function pullReferrers(
  repository: Repository,
  source: ImageSource,
  subjects: readonly OciDigest[],
  options: Omit<PullOptions, "tag">,
): Promise<PullReport[]> {
  const { related } = source;
  if (related === undefined)
    throw new CfsError("Unsupported", `${source.label}: what refers to an image can't be read from there`);
  const reports: PullReport[] = [];
  const seen = new Set<OciDigest>(subjects);
  const pending = [...subjects];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    for (const descriptor of await related.referrers(next)) {
      if (seen.has(descriptor.digest) || !isManifestType(descriptor.mediaType)) continue;
      if (seen.size - subjects.length >= MAX_REFERRERS)
        throw new CfsError("Invalid", `more than ${MAX_REFERRERS} manifests refer to the image`);
      seen.add(descriptor.digest);
      const found = await related.readDocument(
        descriptor,
        MAX_MANIFEST_SIZE,
        `Manifest ${descriptor.digest}`,
      );
      const { digest, mediaType } = descriptor;
      const manifest = parseManifest(found, digestAlgorithm(digest));
      // Who lists what refers to something else could have anything stored.
      if (isDelta(manifest) || manifest.subject?.digest !== next) continue;
      reports.push(await pullManifest(repository, source, { bytes: found, digest, mediaType }, options));
      pending.push(digest);
    }
  }
  return reports;
}
