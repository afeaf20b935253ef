import { CfsError } from "../errors.ts";
import { pread } from "../sys/file.ts";
import type { Descriptor } from "./descriptor.ts";
import { type OciDigest, verifyDigest } from "./digest.ts";

/**
 * The bytes of a blob as they were transported, in a file: any thread of the process may read
 * [offset, offset + size) of `fd` while this is open. Nothing has verified them yet.
 */
export interface BlobReader extends Disposable {
  readonly fd: number;
  readonly offset: number;
  /** Bytes; the same as in the descriptor. */
  readonly size: number;
}

/** Blobs by descriptor. */
export interface BlobStore {
  /** @throws CfsError NotFound when there is no such blob, Corrupt when its size is not the descriptor's. */
  openBlob(descriptor: Descriptor): Promise<BlobReader>;
}

/** The manifest of the image that a reference names. */
export interface FoundManifest {
  /** As published; size and digest are verified. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: OciDigest;
  readonly mediaType: string;
}

/** One image somewhere outside of the repository. */
export interface ImageSource extends BlobStore, Disposable {
  /** For messages: "OCI layout DIR". */
  readonly label: string;
  manifest(): Promise<FoundManifest>;
}

/**
 * A blob in memory, with size and digest verified.
 * @param max most bytes that are read.
 * @param what for messages: "Manifest", "Config", …
 */
export async function readBlob(
  store: BlobStore,
  descriptor: Descriptor,
  max: number,
  what: string,
): Promise<Uint8Array<ArrayBuffer>> {
  if (descriptor.size > max) {
    throw new CfsError(
      "Invalid",
      `${what} ${descriptor.digest} has ${descriptor.size} bytes; at most ${max} are read`,
    );
  }
  using blob = await store.openBlob(descriptor);
  const bytes = new Uint8Array(blob.size);
  if (pread(blob.fd, bytes, blob.offset) !== blob.size)
    throw new CfsError("Corrupt", `${what} ${descriptor.digest} ends unexpectedly`);
  verifyDigest(bytes, descriptor.digest, what);
  return bytes;
}

/** @throws CfsError Corrupt */
export function checkBlobSize(descriptor: Descriptor, found: number): void {
  if (descriptor.size !== found) {
    throw new CfsError(
      "Corrupt",
      `${descriptor.digest}: Expected size ${descriptor.size} but found ${found}`,
      {
        data: { digest: descriptor.digest, expected: descriptor.size, found },
      },
    );
  }
}
