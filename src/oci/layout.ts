import { fromText } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { ELOOP, ENOENT, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { O_DIRECTORY, O_NONBLOCK, O_RDONLY, open, pread } from "../sys/file.ts";
import { openBeneath } from "../sys/openat2.ts";
import { fstat, isRegular } from "../sys/stat.ts";
import type { Descriptor } from "./descriptor.ts";
import { digestAlgorithm, digestHex, type OciDigest } from "./digest.ts";
import { MAX_INDEX_SIZE, parseIndex } from "./index.ts";
import { parseManifest } from "./manifest.ts";
import type { Platform } from "./platform.ts";
import { selectManifest } from "./select.ts";
import {
  type BlobReader,
  type BlobStore,
  checkBlobSize,
  type FoundManifest,
  type ImageSource,
  readBlob,
} from "./source.ts";

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
  readonly #files: LayoutFiles;
  readonly #tag: string | undefined;
  readonly #platform: Platform;

  constructor(files: LayoutFiles, tag: string | undefined, platform: Platform) {
    this.#files = files;
    this.label = files.label;
    this.#tag = tag;
    this.#platform = platform;
  }

  async manifest(): Promise<FoundManifest> {
    try {
      const index = parseIndex(this.#readIndex(), INDEX_NAME);
      const found = await selectManifest(this, index, this.#tag, this.#platform);
      refuseDelta(found);
      return found;
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

  #readIndex(): Uint8Array {
    let file: BlobReader;
    try {
      file = this.#files.open(INDEX_NAME);
    } catch (error) {
      throw withContext(`Cannot find the Image Index (${INDEX_NAME})`, error);
    }
    using index = file;
    if (index.size > MAX_INDEX_SIZE)
      throw new CfsError("Invalid", `${INDEX_NAME} is larger than ${MAX_INDEX_SIZE} bytes`);
    const bytes = new Uint8Array(index.size);
    pread(index.fd, bytes, index.offset, INDEX_NAME);
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}

/** Artifact types of deltas between images, the present one and that of early tools. */
const DELTA_TYPES = [
  "application/vnd.io.github.containers.oci-delta.v1",
  "application/vnd.redhat.oci-delta.v1",
];

/** A delta is no image: kept as an opaque artifact it would be of no use. */
function refuseDelta({ bytes, digest }: FoundManifest): void {
  const { artifactType } = parseManifest(bytes, digestAlgorithm(digest));
  if (artifactType === undefined || !DELTA_TYPES.includes(artifactType)) return;
  throw new CfsError("Unsupported", `${digest} is a delta, which can't be applied`, {
    hint: "pull the whole image",
  });
}

/** A layout in a directory. Symbolic links in it are not followed, so that it can't name files elsewhere. */
export class LayoutDirectory implements LayoutFiles {
  readonly label: string;
  readonly #directory: Fd;

  constructor(path: string) {
    this.label = `OCI layout ${path}`;
    this.#directory = open(path, O_RDONLY | O_DIRECTORY);
  }

  open(path: string): BlobReader {
    const label = `${this.#directory.path}/${path}`;
    let file: Fd;
    try {
      // O_NONBLOCK: a FIFO in its place must not block.
      file = openBeneath(this.#directory.fd, fromText(path), O_RDONLY | O_NONBLOCK, "refuse", label);
    } catch (error) {
      if (isErrno(error, ENOENT)) throw new CfsError("NotFound", `${label} does not exist`);
      if (isErrno(error, ELOOP)) {
        throw new CfsError("Invalid", `${label} is a symbolic link or lies behind one`, {
          cause: error,
          hint: "copy the image, so that its blobs lie in the layout itself",
        });
      }
      throw error;
    }
    const status = fstat(file);
    if (!isRegular(status)) {
      file.close();
      throw new CfsError("Invalid", `${label} is not a regular file`);
    }
    return {
      fd: file.fd,
      offset: 0,
      size: status.size,
      [Symbol.dispose]: () => file.close(),
    };
  }

  [Symbol.dispose](): void {
    this.#directory.close();
  }
}
