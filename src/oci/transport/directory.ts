import { CfsError, withContext } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { computeDigest, digestHex } from "../digest.ts";
import { parseIndex } from "../index.ts";
import { parseJsonObject } from "../json.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../manifest.ts";
import { isManifestType, OCI_INDEX } from "../media-types.ts";
import { type Selection, selectLone, selectManifest } from "../select.ts";
import {
  type BlobReader,
  type BlobStore,
  checkBlobSize,
  type FoundManifest,
  type ImageSource,
  type PublishedDocument,
  readBlob,
} from "../source.ts";
import { PlainDirectory } from "./plain-directory.ts";
import { readWhole } from "./read-whole.ts";

const MANIFEST_NAME = "manifest.json";
const VERSION_NAME = "version";
const MAX_VERSION_SIZE = 256;
/** What the file begins with; the number behind the dot says what else there may be. */
const VERSION = /^Directory Transport Version: 1\.[0-9]+\n?$/;

/**
 * A directory with the blobs of one image, named by their bare digests, and its manifest, as `skopeo copy … dir:` makes
 * it (containers-transports(5)). When that is an index, the manifests it lists are in `HEX.manifest.json`.
 */
export class DirectorySource implements ImageSource, BlobStore {
  readonly label: string;
  readonly #files: PlainDirectory;
  readonly #selection: Selection;

  constructor(path: string, selection: Selection) {
    this.label = `directory ${path}`;
    this.#files = new PlainDirectory(path);
    this.#selection = selection;
  }

  async manifest(): Promise<FoundManifest> {
    try {
      this.#checkVersion();
      const published = this.#readManifest();
      if (isManifestType(published.mediaType)) return await selectLone(this, published, this.#selection);
      const { platform, ...options } = this.#selection;
      const index = parseIndex(published.bytes, MANIFEST_NAME);
      return await selectManifest(this, index, undefined, platform, { ...options, published });
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
    const hex = digestHex(descriptor.digest);
    const blob = this.#files.open(isManifestType(descriptor.mediaType) ? `${hex}.${MANIFEST_NAME}` : hex);
    try {
      checkBlobSize(descriptor, blob.size);
      return blob;
    } catch (error) {
      blob[Symbol.dispose]();
      throw error;
    }
  }

  #readManifest(): PublishedDocument {
    using file = this.#files.open(MANIFEST_NAME);
    const bytes = readWhole(file, MAX_MANIFEST_SIZE, MANIFEST_NAME);
    const object = parseJsonObject(bytes, MANIFEST_NAME);
    const isIndex = Array.isArray(object.manifests);
    const mediaType = !isIndex
      ? parseManifest(bytes).mediaType
      : typeof object.mediaType === "string"
        ? object.mediaType
        : OCI_INDEX;
    return { bytes, digest: computeDigest(bytes), mediaType };
  }

  #checkVersion(): void {
    using file = this.#files.open(VERSION_NAME);
    const text = Buffer.from(readWhole(file, MAX_VERSION_SIZE, VERSION_NAME)).toString("latin1");
    if (VERSION.test(text)) return;
    throw new CfsError("Unsupported", `its file "${VERSION_NAME}" does not name version 1`, {
      hint: "it must be a directory that `skopeo copy … dir:` made",
    });
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}
