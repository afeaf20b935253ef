import { withContext } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { computeDigest, digestAlgorithm, digestHex, type OciDigest } from "../digest.ts";
import { type ImageIndex, MAX_INDEX_SIZE, parseIndex } from "../index.ts";
import { isIndexType, OCI_INDEX } from "../media-types.ts";
import { type Selection, selectLoneDelta, selectManifest } from "../select.ts";
import {
  type BlobReader,
  type BlobStore,
  checkBlobSize,
  type FoundManifest,
  type ImageSource,
  type PublishedDocument,
  type RelatedManifests,
  readBlob,
} from "../source.ts";
import { LayoutRelations } from "./layout-relations.ts";
import { PlainDirectory } from "./plain-directory.ts";
import { readWhole } from "./read-whole.ts";

const INDEX_NAME = "index.json";

/** `blobs/ALGORITHM/HEX`: where a layout keeps a blob (OCI image specification, image-layout.md). */
export function blobPath(digest: OciDigest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/** Files by their path in a layout, however it is kept. */
export interface LayoutFiles extends Disposable {
  /** For messages. */
  readonly label: string;
  /** @throws CfsError NotFound */
  open(path: string): BlobReader;
}

/** An OCI image layout: one image of those that its index lists. */
export class LayoutSource implements ImageSource, BlobStore {
  readonly label: string;
  readonly related: RelatedManifests;
  readonly #files: LayoutFiles;
  readonly #tag: string | undefined;
  readonly #selection: Selection;

  constructor(files: LayoutFiles, tag: string | undefined, selection: Selection) {
    this.#files = files;
    this.label = files.label;
    this.#tag = tag;
    this.#selection = selection;
    this.related = new LayoutRelations(this, () => this.#readIndex().index);
  }

  async manifest(): Promise<FoundManifest> {
    try {
      const { index, published } = this.#readIndex();
      const delta = await selectLoneDelta(this, index);
      if (delta !== undefined) return delta;
      const { platform, ...options } = this.#selection;
      return await selectManifest(this, index, this.#tag, platform, {
        ...options,
        ...(this.#tag === undefined && listsImages(index) && { published }),
      });
    } catch (error) {
      throw withContext(this.label, error);
    }
  }

  get blobs(): BlobStore {
    return this;
  }

  readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    return readBlob(this, descriptor, max, what);
  }

  async openBlob(descriptor: Descriptor): Promise<BlobReader> {
    const blob = this.#files.open(blobPath(descriptor.digest));
    try {
      checkBlobSize(descriptor, blob.size);
      return blob;
    } catch (error) {
      blob[Symbol.dispose]();
      throw error;
    }
  }

  #readIndex(): { index: ImageIndex; published: PublishedDocument } {
    let file: BlobReader;
    try {
      file = this.#files.open(INDEX_NAME);
    } catch (error) {
      throw withContext(`Cannot find the Image Index (${INDEX_NAME})`, error);
    }
    using opened = file;
    const bytes = readWhole(opened, MAX_INDEX_SIZE, INDEX_NAME);
    const index = parseIndex(bytes, INDEX_NAME);
    return { index, published: { bytes, digest: computeDigest(bytes), mediaType: OCI_INDEX } };
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}

/** Whether an index lists the images itself; else it has one, or another index that does. */
function listsImages({ manifests }: ImageIndex): boolean {
  return manifests.length > 1 && !manifests.some(({ mediaType }) => isIndexType(mediaType));
}

/** A layout in a directory. */
export class LayoutDirectory implements LayoutFiles {
  readonly label: string;
  readonly #directory: PlainDirectory;

  constructor(path: string) {
    this.label = `OCI layout ${path}`;
    this.#directory = new PlainDirectory(path);
  }

  open(path: string): BlobReader {
    return this.#directory.open(path);
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}
