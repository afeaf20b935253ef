import { CfsError } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import type { OciDigest } from "../digest.ts";
import { readManifest } from "../image.ts";
import { parseReference } from "../reference.ts";
import type { DockerReference } from "../registry/types.ts";
import { listTags } from "../tags.ts";

/**
 * Repositories of the same registry that have had a blob when an image was pulled from them: tags say where that was.
 * @returns paths by digest.
 */
export function mountCandidates(
  repository: Repository,
  { host, path }: DockerReference,
): ReadonlyMap<OciDigest, ReadonlySet<string>> {
  const paths = new Map<OciDigest, Set<string>>();
  for (const { name, manifest } of listTags(repository)) {
    const origin = pulledFrom(name);
    if (origin === undefined || origin.host !== host || origin.path === path || manifest === undefined)
      continue;
    for (const digest of blobsOf(repository, manifest)) {
      const known = paths.get(digest);
      if (known === undefined) paths.set(digest, new Set([origin.path]));
      else known.add(origin.path);
    }
  }
  return paths;
}

function pulledFrom(tag: string): DockerReference | undefined {
  if (!tag.startsWith("docker://")) return undefined;
  try {
    const reference = parseReference(tag);
    return reference.transport === "docker" ? reference.name : undefined;
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}

function blobsOf(repository: Repository, digest: OciDigest): OciDigest[] {
  try {
    const { manifest } = readManifest(repository, digest);
    return [manifest.config, ...manifest.layers].map((descriptor) => descriptor.digest);
  } catch (error) {
    // Another image that is damaged must not keep this one from being pushed.
    if (error instanceof CfsError) return [];
    throw error;
  }
}
