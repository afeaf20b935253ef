import { withContext } from "../../errors.ts";
import { MAX_CONFIG_SIZE } from "../config.ts";
import type { Descriptor } from "../descriptor.ts";
import { digestAlgorithm } from "../digest.ts";
import { MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "../manifest.ts";
import type { BlobStore, FoundManifest, ImageSource, PublishedDocument, RemoteBlobs } from "../source.ts";
import { checkTarget, parseDelta } from "./artifact.ts";
import type { DeltaArtifact } from "./format.ts";

/** The image that a delta makes: its documents are in the delta, and so is what its layers are made from. */
export class DeltaSource implements ImageSource {
  readonly label: string;
  readonly delta: DeltaArtifact;
  readonly #target: PublishedDocument;
  readonly #config: Uint8Array<ArrayBuffer>;
  readonly #source: ImageSource;

  private constructor(
    source: ImageSource,
    delta: DeltaArtifact,
    target: PublishedDocument,
    config: Uint8Array<ArrayBuffer>,
  ) {
    this.label = labelOf(source, delta.manifest);
    this.delta = delta;
    this.#source = source;
    this.#target = target;
    this.#config = config;
  }

  /**
   * @param source where the delta is, which it does not own.
   * @param manifest of the delta.
   * @throws CfsError NotFound, Corrupt, Invalid
   */
  static async open(source: ImageSource, manifest: Manifest): Promise<DeltaSource> {
    try {
      const delta = parseDelta(manifest);
      const { imageManifest, imageConfig } = delta;
      const { digest } = imageManifest;
      // Registries keep it as a blob, and need not know it as a manifest.
      const blob = { ...imageManifest, mediaType: "application/octet-stream" };
      const bytes = await source.readDocument(blob, MAX_MANIFEST_SIZE, "Manifest");
      const target = parseManifest(bytes, digestAlgorithm(digest));
      const config = await source.readDocument(imageConfig, MAX_CONFIG_SIZE, "Config");
      checkTarget(delta, target);
      return new DeltaSource(source, delta, { bytes, digest, mediaType: target.mediaType }, config);
    } catch (error) {
      throw withContext(labelOf(source, manifest), error);
    }
  }

  get blobs(): BlobStore | RemoteBlobs {
    return this.#source.blobs;
  }

  async manifest(): Promise<FoundManifest> {
    return this.#target;
  }

  async readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    const isConfig = descriptor.digest === this.delta.imageConfig.digest;
    return isConfig ? this.#config : await this.#source.readDocument(descriptor, max, what);
  }

  [Symbol.dispose](): void {}
}

function labelOf({ label }: ImageSource, { digest }: Manifest): string {
  return `${label}: delta ${digest}`;
}
