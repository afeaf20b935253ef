import { CfsError, withContext } from "../../errors.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { Fd } from "../../sys/fd.ts";
import { type ImageConfig, MAX_CONFIG_SIZE, parseConfig } from "../config.ts";
import type { Descriptor } from "../descriptor.ts";
import { computeDigest, type OciDigest } from "../digest.ts";
import { MAX_INDEX_SIZE } from "../index.ts";
import { DOCKER_MANIFEST } from "../media-types.ts";
import type { SourceContext } from "../open-source.ts";
import type { DockerArchiveReference } from "../reference.ts";
import { type Selection, selectLone } from "../select.ts";
import {
  type BlobReader,
  type BlobStore,
  checkBlobSize,
  type FoundManifest,
  type ImageSource,
  type PublishedDocument,
  readBlob,
} from "../source.ts";
import { compressionOf, decompressPart, type FilePart } from "./decompress-file.ts";
import { chooseSavedImage, makeManifest, parseSavedImages, type SavedImage } from "./docker-save.ts";
import { readWhole } from "./read-whole.ts";
import { TarFile } from "./tar-file.ts";

const LIST_NAME = "manifest.json";
/** Bytes by which compression is recognised; less is no tar either. */
const MAGIC_SIZE = 6;

export function openDockerArchive(
  { path, image }: DockerArchiveReference,
  { selection, temporaryDirectory }: SourceContext,
): DockerArchiveSource {
  const label = `docker archive ${path}`;
  const archive = TarFile.open(path, temporaryDirectory, label);
  return new DockerArchiveSource(label, archive, image, selection, temporaryDirectory);
}

/** Where a blob is. */
interface BlobPlace extends FilePart {
  readonly fd: number;
}

/** One image of what `docker save` writes. Its manifest is made up, its layers are the plain tars. */
export class DockerArchiveSource implements ImageSource, BlobStore {
  readonly label: string;
  readonly #archive: TarFile;
  readonly #image: string | number | undefined;
  readonly #selection: Selection;
  readonly #temporaryDirectory: number;
  readonly #blobs = new Map<OciDigest, BlobPlace>();
  /** Plain forms of compressed layers, one after the other. */
  #spool: Fd | undefined;
  #spooled = 0;

  /** @param archive belongs to the source from now on. */
  constructor(
    label: string,
    archive: TarFile,
    image: string | number | undefined,
    selection: Selection,
    temporaryDirectory: number,
  ) {
    this.label = label;
    this.#archive = archive;
    this.#image = image;
    this.#selection = selection;
    this.#temporaryDirectory = temporaryDirectory;
  }

  async manifest(): Promise<FoundManifest> {
    try {
      return await selectLone(this, this.#makeManifest(), this.#selection);
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

  /** Blobs are known once the manifest is. */
  async openBlob(descriptor: Descriptor): Promise<BlobReader> {
    const place = this.#blobs.get(descriptor.digest);
    if (place === undefined)
      throw new CfsError("NotFound", `blob ${descriptor.digest} is not in the archive`);
    checkBlobSize(descriptor, place.size);
    return { ...place, [Symbol.dispose]: () => {} };
  }

  #makeManifest(): PublishedDocument {
    const image = chooseSavedImage(parseSavedImages(this.#readList()), this.#image);
    const config = this.#readConfig(image.config);
    this.#placeLayers(image, config);
    const sizes = config.diffIds.map((id) => this.#blobs.get(id)!.size);
    const bytes = makeManifest(config, sizes);
    return { bytes, digest: computeDigest(bytes), mediaType: DOCKER_MANIFEST };
  }

  #readList(): Uint8Array {
    try {
      using file = this.#archive.open(LIST_NAME, "follow");
      return readWhole(file, MAX_INDEX_SIZE, LIST_NAME);
    } catch (error) {
      throw withContext("it is not an archive that docker save makes", error);
    }
  }

  #readConfig(path: string): ImageConfig {
    const file = this.#archive.open(path, "follow");
    const config = parseConfig(readWhole(file, MAX_CONFIG_SIZE, `config ${path}`));
    this.#blobs.set(config.digest, { fd: file.fd, offset: file.offset, size: file.size });
    return config;
  }

  #placeLayers({ layers }: SavedImage, { diffIds }: ImageConfig): void {
    if (layers.length !== diffIds.length) {
      throw new CfsError(
        "Invalid",
        `Inconsistent layer count: ${layers.length} in manifest, ${diffIds.length} in config`,
      );
    }
    diffIds.forEach((id, i) => {
      if (!this.#blobs.has(id)) this.#blobs.set(id, this.#placeLayer(layers[i]!));
    });
  }

  #placeLayer(path: string): BlobPlace {
    const { file } = this.#archive;
    const part = this.#archive.find(path, "follow");
    if (part === undefined) throw new CfsError("NotFound", `layer ${path} is missing from the archive`);
    const compression = part.size < MAGIC_SIZE ? "none" : compressionOf(file, part.offset);
    if (compression === "none") return { fd: file.fd, ...part };
    this.#spool ??= new Fd(openTemporary(this.#temporaryDirectory), "temporary file for decompressed layers");
    try {
      const plain = decompressPart(file, part, compression, this.#spool, this.#spooled);
      this.#spooled += plain.size;
      return { fd: this.#spool.fd, ...plain };
    } catch (error) {
      throw withContext(`layer ${path}`, error);
    }
  }

  [Symbol.dispose](): void {
    this.#spool?.close();
    this.#archive[Symbol.dispose]();
  }
}
