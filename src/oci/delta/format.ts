import type { Descriptor } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import type { Manifest } from "../manifest.ts";

/**
 * The names and numbers of delta artifacts (github.com/containers/oci-delta) and of the tar-diff format that their
 * layers have (github.com/containers/tar-diff).
 */

/** `artifactType` of a delta between two images. */
export const DELTA_TYPE = "application/vnd.io.github.containers.oci-delta.v1";
/** The same, as early tools wrote it. */
export const EARLY_DELTA_TYPE = "application/vnd.redhat.oci-delta.v1";

/** Media type of a layer that is a tar-diff. */
export const TAR_DIFF = "application/vnd.tar-diff";

const PREFIX = "io.github.containers.delta.";

/** Annotations of a delta's manifest. */
export const DeltaAnnotation = {
  /** Digest of the source image's manifest. */
  source: `${PREFIX}source`,
  /** Digest of the source image's config, by which it is found. */
  sourceConfig: `${PREFIX}source-config`,
  /** Digest of the target image's manifest. */
  target: `${PREFIX}target`,
  /** JSON array of the digests of the target's layers that the delta leaves out. */
  reused: `${PREFIX}reused`,
  /** JSON array of their diff IDs. */
  reusedDiffId: `${PREFIX}reused-diff-id`,
} as const;

/** Annotations of what a delta's manifest lists as layers. */
export const PartAnnotation = {
  /** What it is: one of `DeltaContent`. */
  content: `${PREFIX}content`,
  /** Of an image's layer: the digest of the target's layer that comes of it. */
  to: `${PREFIX}to`,
} as const;

export const DeltaContent = {
  imageManifest: "image-manifest",
  imageConfig: "image-config",
  imageLayer: "image-layer",
  cosignSignature: "cosign-signature",
  cosignSignatureContent: "cosign-signature-content",
} as const;

/** What a delta artifact holds, as its manifest tells; nothing of it has been fetched. */
export interface DeltaArtifact {
  readonly manifest: Manifest;
  /** Digest of the source image's config. */
  readonly sourceConfig: OciDigest;
  /** The target's manifest and config, byte for byte. */
  readonly imageManifest: Descriptor;
  readonly imageConfig: Descriptor;
  /** From the digests of the target's layers to what they are made of. */
  readonly layers: ReadonlyMap<OciDigest, Descriptor>;
  /** Manifests of signatures of the target, and what these are made of. */
  readonly signatures: readonly Descriptor[];
  readonly signatureContents: readonly Descriptor[];
}

export type TarDiffVersion = 1 | 2;

/** A tar-diff begins with `tardf1` or `tardf2`, a newline and a NUL; then come zstd frames with the operations. */
export const MAGIC_SIZE = 8;
const MAGICS: readonly (readonly [TarDiffVersion, string])[] = [
  [1, "tardf1\n\0"],
  [2, "tardf2\n\0"],
];

export function tarDiffMagic(version: TarDiffVersion): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(MAGICS[version - 1]![1], "latin1"));
}

/** @param head the first eight bytes. @returns undefined for what is no tar-diff. */
export function tarDiffVersion(head: Uint8Array): TarDiffVersion | undefined {
  const text = Buffer.from(head).latin1Slice();
  return MAGICS.find(([, magic]) => magic === text)?.[0];
}

/** Operations: one byte, an unsigned LEB128 number of 64 bits at most, and, for some, so many bytes. */
export const Op = {
  /** Bytes of the result. */
  Data: 0,
  /** Path of the file of the source image that the next operations read, from its start. */
  Open: 1,
  /** Takes so many bytes from the file, where it is read. */
  Copy: 2,
  /** As `Copy`, adding a byte of the operation to each (mod 256). */
  AddData: 3,
  /** Where in the file to read. */
  Seek: 4,
  /** A zstd frame with the whole file as prefix (version 2 only); the file is read to its end. */
  ZstdDict: 5,
} as const;

export type OpCode = (typeof Op)[keyof typeof Op];

/** Bytes of a path. */
export const MAX_NAME = 4096;
/** Bytes of one `AddData`. */
export const MAX_ADD_DATA = 100 * 1024 * 1024;
/** Bytes of a file that a frame has as its prefix. */
export const MAX_PREFIX = 2 ** 29;
/** Windows of the frames around the operations, and of those in them: powers of two. */
export const MAX_WINDOW_LOG = 27;
export const MAX_PREFIXED_WINDOW_LOG = 29;
