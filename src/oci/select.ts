import { CfsError } from "../errors.ts";
import { MAX_CONFIG_SIZE, parseConfig } from "./config.ts";
import { parseDelta } from "./delta/artifact.ts";
import type { Descriptor } from "./descriptor.ts";
import type { OciDigest } from "./digest.ts";
import { type ImageIndex, MAX_INDEX_SIZE, parseIndex, REF_NAME } from "./index.ts";
import { isContainerImage, isDelta, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "./manifest.ts";
import { isIndexType, isManifestType } from "./media-types.ts";
import { formatPlatform, isNoPlatform, type Platform, rankPlatform } from "./platform.ts";
import type { DocumentStore, FoundManifest, PublishedDocument } from "./source.ts";

/** As many platforms are named in a message. */
const MAX_NAMED = 10;

/** Which image of an index is wanted. */
export interface Selection {
  readonly platform: Platform;
  /** Take the first image when there is none for the platform. */
  readonly anyPlatform: boolean;
  /** Whether the image with this config is here, so that deltas from it can be applied. */
  readonly hasImage?: ((config: OciDigest) => boolean) | undefined;
}

export interface SelectOptions {
  /** Take the first image when there is none for the platform. */
  readonly anyPlatform?: boolean;
  /** Of several deltas, one from an image that is here is taken. */
  readonly hasImage?: ((config: OciDigest) => boolean) | undefined;
  /** What the index was parsed from, when it is the one that a reference names. */
  readonly published?: PublishedDocument;
}

/**
 * Picks the manifest of an index for a platform: the one that fits best, the first of those that fit equally well, one
 * level of nested indexes deep. When none fits, an artifact that is for no platform in particular, first of all a delta
 * that can be applied.
 * @param tag annotation that the candidates must have.
 * @throws CfsError NotFound, Invalid, Unsupported, Corrupt
 */
export async function selectManifest(
  store: DocumentStore,
  index: ImageIndex,
  tag: string | undefined,
  wanted: Platform,
  { anyPlatform = false, hasImage = () => false, published }: SelectOptions = {},
): Promise<FoundManifest> {
  const candidates = tag === undefined ? index.manifests : withTag(index, tag);
  if (candidates.length === 0) {
    throw tag === undefined
      ? new CfsError("NotFound", "Image index contains no manifests")
      : new CfsError("NotFound", `Tag '${tag}' not found in image index`, { hint: tagHint(index) });
  }
  const search = new Search(store, wanted, anyPlatform, hasImage);
  await search.among(candidates, published, 0);
  const found = search.best?.found ?? search.other ?? search.delta ?? search.artifact;
  if (found !== undefined) return found;
  const offered = [...new Set(search.offered)];
  const names = offered.slice(0, MAX_NAMED).join(", ") || "(no platform info)";
  throw new CfsError(
    "NotFound",
    `No manifest found for platform ${formatPlatform(wanted)}; available: ${names}${offered.length > MAX_NAMED ? ", ..." : ""}`,
    { hint: "--platform OS/ARCH selects another one" },
  );
}

/**
 * The manifest of a place that has only one image, if that is for the platform.
 * @param store has the config.
 * @throws CfsError NotFound when it is for another platform; Invalid, Corrupt
 */
export function selectLone(
  store: DocumentStore,
  { bytes, digest, mediaType }: PublishedDocument,
  { platform, ...options }: Selection,
): Promise<FoundManifest> {
  const lone: Descriptor = { mediaType, digest, size: bytes.length, annotations: new Map() };
  const withManifest: DocumentStore = {
    readDocument: async (descriptor, max, what) =>
      descriptor === lone ? bytes : await store.readDocument(descriptor, max, what),
  };
  const index = { manifests: [lone], annotations: new Map() };
  return selectManifest(withManifest, index, undefined, platform, options);
}

/**
 * The delta of a layout that has nothing else: it is taken whatever its tag, and whatever platform it is listed for.
 * @returns undefined for other layouts
 */
export async function selectLoneDelta(
  store: DocumentStore,
  { manifests }: ImageIndex,
): Promise<PublishedDocument | undefined> {
  const [lone] = manifests;
  if (lone === undefined || manifests.length > 1 || !isManifestType(lone.mediaType)) return undefined;
  const { digest, mediaType } = lone;
  const bytes = await store.readDocument(lone, MAX_MANIFEST_SIZE, "Manifest");
  return isDelta(parseManifest(bytes)) ? { bytes, digest, mediaType } : undefined;
}

/** The manifests and indexes of a layout that have a tag. */
export function withTag({ manifests }: ImageIndex, tag: string): readonly Descriptor[] {
  return manifests.filter(({ annotations }) => annotations.get(REF_NAME) === tag);
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
  readonly #takesOthers: boolean;
  /** Platforms that were seen and do not fit. */
  readonly offered: string[] = [];
  /** The manifest that fits best, and how well: 0 is perfect. */
  best: { readonly found: FoundManifest; readonly rank: number } | undefined;
  /** The first image that does not fit, if such are taken. */
  other: FoundManifest | undefined;
  /** The first manifest that is for no platform in particular. */
  artifact: FoundManifest | undefined;
  /** The first delta from an image that is here. */
  delta: FoundManifest | undefined;
  readonly #hasImage: (config: OciDigest) => boolean;

  constructor(
    store: DocumentStore,
    wanted: Platform,
    takesOthers: boolean,
    hasImage: (config: OciDigest) => boolean,
  ) {
    this.#store = store;
    this.#wanted = wanted;
    this.#takesOthers = takesOthers;
    this.#hasImage = hasImage;
  }

  async among(
    candidates: readonly Descriptor[],
    index: PublishedDocument | undefined,
    depth: number,
  ): Promise<void> {
    for (const candidate of candidates) {
      if (this.best?.rank === 0) return;
      const { mediaType, digest } = candidate;
      if (isManifestType(mediaType)) await this.#consider(candidate, index);
      else if (!isIndexType(mediaType))
        throw new CfsError("Unsupported", `Unexpected media type ${mediaType}`);
      else if (depth > 0) throw new CfsError("Unsupported", "Nested image indices are not supported");
      else {
        const bytes = await this.#store.readDocument(candidate, MAX_INDEX_SIZE, "Image index");
        const named = index ?? { bytes, digest, mediaType };
        await this.among(parseIndex(bytes).manifests, named, depth + 1);
      }
    }
  }

  async #consider(candidate: Descriptor, index: PublishedDocument | undefined): Promise<void> {
    const { platform } = candidate;
    const rank = platform === undefined ? undefined : rankPlatform(platform, this.#wanted);
    if (platform !== undefined && rank === undefined) this.#pass(platform);
    if (rank !== undefined && this.best !== undefined && rank >= this.best.rank) return;
    const isOther = platform !== undefined && rank === undefined;
    if (isOther && (!this.#takesOthers || this.other !== undefined || isNoPlatform(platform))) return;

    const { digest, mediaType } = candidate;
    const bytes = await this.#store.readDocument(candidate, MAX_MANIFEST_SIZE, "Manifest");
    const found: FoundManifest = { bytes, digest, mediaType, ...(index !== undefined && { index }) };
    if (isOther) this.other = found;
    else if (rank !== undefined) this.best = { found, rank };
    else await this.#considerContent(found);
  }

  /** A manifest of which the index does not say for which platform it is. */
  async #considerContent(found: FoundManifest): Promise<void> {
    const manifest = parseManifest(found.bytes);
    if (!isContainerImage(manifest)) {
      this.artifact ??= found;
      if (isDelta(manifest) && this.#canApply(manifest)) this.delta ??= found;
      return;
    }
    const platform = await this.#platformOf(manifest);
    const rank = rankPlatform(platform, this.#wanted);
    if (rank === undefined) {
      this.#pass(platform);
      if (this.#takesOthers) this.other ??= found;
    } else if (this.best === undefined || rank < this.best.rank) this.best = { found, rank };
  }

  #canApply(delta: Manifest): boolean {
    try {
      return this.#hasImage(parseDelta(delta).sourceConfig);
    } catch (error) {
      if (error instanceof CfsError) return false;
      throw error;
    }
  }

  async #platformOf({ config }: Manifest): Promise<Platform> {
    return parseConfig(await this.#store.readDocument(config, MAX_CONFIG_SIZE, "Config")).platform;
  }

  #pass(platform: Platform): void {
    this.offered.push(formatPlatform(platform));
  }
}
