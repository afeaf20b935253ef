import { withContext } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { type ImageIndex, parseIndex } from "../index.ts";
import { isIndexType } from "../media-types.ts";
import { type Selection, selectManifest } from "../select.ts";
import type { FoundManifest, ImageSource, RelatedManifests, RemoteBlobs } from "../source.ts";
import { formatDockerReference } from "./reference.ts";
import type { DockerReference, RegistryRepository } from "./types.ts";

/** One image in a registry. */
export class RegistrySource implements ImageSource {
  readonly label: string;
  readonly #repository: RegistryRepository;
  readonly #reference: DockerReference;
  readonly #selection: Selection;

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
      if (!isIndexType(found.mediaType)) return found;
      const index: ImageIndex = parseIndex(found.bytes);
      const { platform, anyPlatform } = this.#selection;
      return await selectManifest(this, index, undefined, platform, { anyPlatform, published: found });
    } catch (error) {
      throw withContext(this.label, error);
    }
  }

  readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#repository.readDocument(descriptor, max, what);
  }

  [Symbol.dispose](): void {}
}
