import { CfsError } from "../errors.ts";
import { MAX_CONFIG_SIZE, parseConfig } from "./config.ts";
import type { Descriptor } from "./descriptor.ts";
import { type ImageIndex, MAX_INDEX_SIZE, parseIndex, REF_NAME } from "./index.ts";
import { isContainerImage, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "./manifest.ts";
import { isIndexType, isManifestType } from "./media-types.ts";
import { formatPlatform, matchesPlatform, type Platform } from "./platform.ts";
import type { DocumentStore, FoundManifest } from "./source.ts";

/** As many platforms are named in a message. */
const MAX_NAMED = 10;

/**
 * Picks the manifest of an index for a platform: the first that fits, one level of nested indexes deep. When none
 * fits, an artifact that is for no platform in particular.
 * @param tag annotation that the candidates must have.
 * @throws CfsError NotFound, Invalid, Unsupported, Corrupt
 */
export async function selectManifest(
  store: DocumentStore,
  index: ImageIndex,
  tag: string | undefined,
  wanted: Platform,
): Promise<FoundManifest> {
  const candidates =
    tag === undefined
      ? index.manifests
      : index.manifests.filter(({ annotations }) => annotations.get(REF_NAME) === tag);
  if (candidates.length === 0) {
    throw tag === undefined
      ? new CfsError("NotFound", "Image index contains no manifests")
      : new CfsError("NotFound", `Tag '${tag}' not found in image index`, { hint: tagHint(index) });
  }
  const search = new Search(store, wanted);
  const found = (await search.among(candidates, 0)) ?? search.artifact;
  if (found !== undefined) return found;
  const { offered } = search;
  const names = [...new Set(offered)].slice(0, MAX_NAMED).join(", ") || "(no platform info)";
  throw new CfsError(
    "NotFound",
    `No manifest found for platform ${formatPlatform(wanted)}; available: ${names}${offered.length > MAX_NAMED ? ", ..." : ""}`,
    { hint: "--platform OS/ARCH selects another one" },
  );
}

function tagHint(index: ImageIndex): string {
  const tags = index.manifests.flatMap(({ annotations }) => annotations.get(REF_NAME) ?? []);
  return tags.length === 0
    ? "its images have no tags; leave the tag out"
    : `it has ${[...new Set(tags)].slice(0, MAX_NAMED).join(", ")}`;
}

class Search {
  readonly #store: DocumentStore;
  readonly #wanted: Platform;
  /** Platforms that were seen and do not fit. */
  readonly offered: string[] = [];
  /** The first manifest that is for no platform in particular. */
  artifact: FoundManifest | undefined;

  constructor(store: DocumentStore, wanted: Platform) {
    this.#store = store;
    this.#wanted = wanted;
  }

  async among(candidates: readonly Descriptor[], depth: number): Promise<FoundManifest | undefined> {
    for (const candidate of candidates) {
      const { mediaType } = candidate;
      let found: FoundManifest | undefined;
      if (isManifestType(mediaType)) found = await this.#consider(candidate);
      else if (!isIndexType(mediaType))
        throw new CfsError("Unsupported", `Unexpected media type ${mediaType}`);
      else if (depth > 0) throw new CfsError("Unsupported", "Nested image indices are not supported");
      else {
        const bytes = await this.#store.readDocument(candidate, MAX_INDEX_SIZE, "Image index");
        found = await this.among(parseIndex(bytes).manifests, depth + 1);
      }
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #consider(candidate: Descriptor): Promise<FoundManifest | undefined> {
    if (candidate.platform !== undefined && !this.#fits(candidate.platform)) return undefined;
    const bytes = await this.#store.readDocument(candidate, MAX_MANIFEST_SIZE, "Manifest");
    const found = { bytes, digest: candidate.digest, mediaType: candidate.mediaType };
    if (candidate.platform !== undefined) return found;
    const manifest = parseManifest(bytes);
    if (!isContainerImage(manifest)) {
      this.artifact ??= found;
      return undefined;
    }
    return this.#fits(await this.#platformOf(manifest)) ? found : undefined;
  }

  async #platformOf({ config }: Manifest): Promise<Platform> {
    return parseConfig(await this.#store.readDocument(config, MAX_CONFIG_SIZE, "Config")).platform;
  }

  #fits(platform: Platform): boolean {
    if (matchesPlatform(platform, this.#wanted)) return true;
    this.offered.push(formatPlatform(platform));
    return false;
  }
}
