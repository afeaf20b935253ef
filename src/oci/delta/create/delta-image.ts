import { CfsError } from "../../../errors.ts";
import type { Progress } from "../../../progress.ts";
import type { ObjectStoreHandle } from "../../../repository/objects.ts";
import type { Repository } from "../../../repository/repository.ts";
import { libc } from "../../../sys/libc.ts";
import { type ImageConfig, MAX_CONFIG_SIZE, parseConfig } from "../../config.ts";
import { digestAlgorithm, type OciDigest } from "../../digest.ts";
import { openImage, parseStoredConfig, type StoredImage } from "../../image.ts";
import { isContainerImage, type Manifest, parseManifest } from "../../manifest.ts";
import { importLayers } from "../../pull/import-layers.ts";
import { areLayersComplete } from "../../pull/presence.ts";
import type { ImageSource } from "../../source.ts";

/** One of the two images of a delta. */
export interface DeltaImage {
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  /** Where it comes from: its blobs can be had there. */
  readonly origin:
    | { readonly source: ImageSource }
    | { readonly repository: Repository; readonly image: StoredImage };
}

/** An image in the repository. @throws CfsError NotFound, Corrupt, Unsupported for what is no image */
export function storedDeltaImage(repository: Repository, name: string): DeltaImage {
  const image = openImage(repository, name);
  expectImage(image.manifest, name);
  return checked({
    manifest: image.manifest,
    config: parseStoredConfig(image.config),
    origin: { repository, image },
  });
}

/** An image in a layout, an archive, a registry, … @throws CfsError as reading it does, Unsupported for what is no image */
export async function sourceDeltaImage(source: ImageSource): Promise<DeltaImage> {
  const found = await source.manifest();
  const manifest = parseManifest(found.bytes, digestAlgorithm(found.digest));
  expectImage(manifest, source.label);
  const bytes = await source.readDocument(manifest.config, MAX_CONFIG_SIZE, "Config");
  const config = parseConfig(bytes, digestAlgorithm(manifest.config.digest));
  return checked({ manifest, config, origin: { source } });
}

function expectImage(manifest: Manifest, name: string): void {
  if (isContainerImage(manifest)) return;
  throw new CfsError("Unsupported", `${name} is an artifact; deltas are made between container images`);
}

function checked(image: DeltaImage): DeltaImage {
  const { manifest, config } = image;
  if (manifest.layers.length === config.diffIds.length) return image;
  throw new CfsError(
    "Invalid",
    `image ${manifest.digest} has ${manifest.layers.length} layers, but its config names ${config.diffIds.length} diff IDs`,
    { hint: "the image is malformed; it has to be built again" },
  );
}

/** Repositories that have the layers together: that of the user, and one for what had to be brought here. */
export class LayerHomes {
  readonly #repository: Repository | undefined;
  readonly #temporary: () => Repository;
  readonly #imported = new Set<OciDigest>();

  /** @param temporary asked for when something has to be brought here; of the same algorithm. */
  constructor(repository: Repository | undefined, temporary: () => Repository) {
    this.#repository = repository;
    this.#temporary = temporary;
  }

  /** Where objects are to be looked for. */
  get stores(): ObjectStoreHandle[] {
    const homes = [this.#repository, ...(this.#imported.size > 0 ? [this.#temporary()] : [])];
    return homes.flatMap((home) => (home === undefined ? [] : [home.objects.handle]));
  }

  /** The repository with a layer. */
  homeOf(diffId: OciDigest): Repository {
    return this.#repository === undefined || this.#imported.has(diffId)
      ? this.#temporary()
      : this.#repository;
  }

  /** Whether the layer was compared with its diff ID just now. */
  isVerified(diffId: OciDigest): boolean {
    return this.#imported.has(diffId);
  }

  /** Brings layers here that are not. @param isWanted which ones are needed. */
  async bring(
    { config, manifest, origin }: DeltaImage,
    isWanted: (diffId: OciDigest) => boolean,
    options: { readonly jobs: number; readonly progress: Progress },
  ): Promise<void> {
    const missing = new Map<OciDigest, number>();
    config.diffIds.forEach((diffId, i) => {
      if (isWanted(diffId) && !this.#has(diffId)) missing.set(diffId, i);
    });
    if (missing.size === 0) return;
    if ("image" in origin) {
      throw new CfsError(
        "Corrupt",
        `image ${manifest.digest}: its layer ${[...missing.keys()][0]} is not complete`,
        {
          hint: "pull the image again",
        },
      );
    }
    const layers = [...missing].map(([id, i]) => ({ id, descriptor: manifest.layers[i]! }));
    await importLayers(this.#temporary(), origin.source.blobs, layers, {
      ...options,
      kind: "tar",
      onLayer: (id, { entries }) => {
        libc.close(entries!.fd);
        this.#imported.add(id);
      },
    });
  }

  #has(diffId: OciDigest): boolean {
    if (this.#imported.has(diffId)) return true;
    return this.#repository !== undefined && areLayersComplete(this.#repository, [diffId]);
  }
}
