import { withContext } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import { type ImageIndex, parseIndex } from "../index.ts";
import { isIndexType } from "../media-types.ts";
import { type Selection, selectLone, selectManifest } from "../select.ts";
import type { FoundManifest, ImageSource, RelatedManifests, RemoteBlobs } from "../source.ts";
import { formatDockerReference } from "./reference.ts";
import type { DockerReference, RegistryRepository } from "./types.ts";

/** One image in a registry. */
export class RegistrySource implements ImageSource {
  readonly label: string;
  readonly #repository: RegistryRepository;
  readonly #reference: DockerReference;
  readonly #selection: Selection;
  #lastDocument: { readonly digest: OciDigest; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  constructor(repository: RegistryRepository, reference: DockerReference, selection: Selection) {
    this.label = `docker://${formatDockerReference(reference)}`;
    this.#repository = repository;
    this.#reference = reference;
    this.#selection = selection;
  }

  get blobs(): RemoteBlobs {
    return this.#repository;
  }

  get related(): RelatedManifests {
    return this.#repository;
  }

  async manifest(): Promise<FoundManifest> {
    const { digest, tag } = this.#reference;
    try {
      const found = await this.#repository.manifest(digest ?? tag!);
      if (!isIndexType(found.mediaType)) {
        // Who names the digest means this image, whatever it is for.
        return digest !== undefined ? found : await selectLone(this, found, this.#selection);
      }
      const index: ImageIndex = parseIndex(found.bytes);
      const { platform, ...options } = this.#selection;
      return await selectManifest(this, index, undefined, platform, { ...options, published: found });
    } catch (error) {
      throw withContext(this.label, error);
    }
  }

  /** The last one is remembered: a config is looked at to select the image, and again to pull it. */
  async readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    const { digest, size } = descriptor;
    const last = this.#lastDocument;
    if (last?.digest === digest && last.bytes.length === size && size <= max) return last.bytes;
    const bytes = await this.#repository.readDocument(descriptor, max, what);
    this.#lastDocument = { digest, bytes };
    return bytes;
  }

  [Symbol.dispose](): void {}
}
