import { CfsError } from "../errors.ts";
import { pread } from "../sys/file.ts";
import type { DeltaArtifact } from "./delta/format.ts";
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

/** Small documents by descriptor. */
export interface DocumentStore {
  /**
   * A document in memory, with size and digest verified.
   * @param max most bytes that are read.
   * @param what for messages: "Manifest", "Config", …
   * @throws CfsError NotFound, Corrupt; Invalid when it is too large
   */
  readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** Blobs in files by descriptor. */
export interface BlobStore {
  /** @throws CfsError NotFound when there is no such blob, Corrupt when its size is not the descriptor's. */
  openBlob(descriptor: Descriptor): Promise<BlobReader>;
}

/** A part of a blob. */
export interface ByteRange {
  readonly offset: number;
  /** Bytes; at least 1. */
  readonly length: number;
}

/** Blobs that have to be transported before they can be read. Nothing has verified their bytes. */
export interface RemoteBlobs {
  /**
   * The bytes from `from` to the end of the blob, exactly. Broken connections are resumed. Each piece is valid until
   * the next one is asked for.
   */
  stream(descriptor: Descriptor, from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * The bytes of the given ranges, each piece with its offset in the blob: all of them, each byte once, in order.
   * @param ranges ascending, without overlap.
   * @throws CfsError Unsupported when ranges can't be had; then nothing was given yet.
   */
  streamRanges(
    descriptor: Descriptor,
    ranges: readonly ByteRange[],
    signal: AbortSignal,
  ): AsyncIterable<{ readonly offset: number; readonly bytes: Uint8Array }>;
}

/** A document as it was published. */
export interface PublishedDocument {
  /** Size and digest are verified. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: OciDigest;
  readonly mediaType: string;
}

/** The manifest of the image that a reference names. */
export interface FoundManifest extends PublishedDocument {
  /** The index that it was chosen from, when it is the one that the reference names. */
  readonly index?: PublishedDocument;
}

/** What speaks of an image without being part of it: signatures, deltas, … */
export interface RelatedManifests extends DocumentStore {
  /** The manifest that has a tag in the same place; undefined when there is none. */
  manifestByTag(tag: string): Promise<PublishedDocument | undefined>;
  /** Descriptors of the manifests whose `subject` is the given one. */
  referrers(subject: OciDigest, artifactType?: string): Promise<readonly Descriptor[]>;
}

/** One image somewhere outside of the repository. */
export interface ImageSource extends DocumentStore, Disposable {
  /** For messages: "OCI layout DIR". */
  readonly label: string;
  /** Where the layers are: in files that can be read at once, or far away. */
  readonly blobs: BlobStore | RemoteBlobs;
  readonly related?: RelatedManifests;
  /** What the layers are made from that are not there as they are. */
  readonly delta?: DeltaArtifact;
  manifest(): Promise<FoundManifest>;
}

/** `DocumentStore.readDocument` on blobs in files. */
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
