import { CfsError } from "../errors.ts";
import { pread } from "../sys/file.ts";
import type { Descriptor } from "./descriptor.ts";
import { hasherFor } from "./digest.ts";
import type { BlobStore, RemoteBlobs } from "./source.ts";

const PIECE = 256 * 1024;

/**
 * The bytes of a blob, wherever it is, in pieces that are valid until the next one is asked for.
 * @throws CfsError Corrupt, after the last piece, when they are not what the digest says
 */
export async function* blobPieces(
  blobs: BlobStore | RemoteBlobs,
  descriptor: Descriptor,
): AsyncGenerator<Uint8Array<ArrayBufferLike>> {
  const { digest } = descriptor;
  const { algorithm, hash } = hasherFor(digest);
  const abort = new AbortController();
  try {
    const pieces = "openBlob" in blobs ? local(blobs, descriptor) : blobs.stream(descriptor, 0, abort.signal);
    for await (const piece of pieces) {
      hash.update(piece as Uint8Array<ArrayBuffer>);
      yield piece;
    }
  } finally {
    abort.abort();
  }
  const found = `${algorithm}:${hash.digest("hex")}`;
  if (found === digest) return;
  throw new CfsError("Corrupt", `Blob digest mismatch for ${digest}: computed ${found}`, {
    data: { expected: digest, found },
    hint: "it is damaged; fetch or copy it again",
  });
}

async function* local(blobs: BlobStore, descriptor: Descriptor): AsyncGenerator<Uint8Array> {
  using blob = await blobs.openBlob(descriptor);
  const buffer = new Uint8Array(Math.min(PIECE, blob.size));
  for (let at = 0; at < blob.size; ) {
    const length = pread(blob.fd, buffer.subarray(0, Math.min(PIECE, blob.size - at)), blob.offset + at);
    if (length === 0) throw new CfsError("Corrupt", `blob ${descriptor.digest} ends unexpectedly`);
    yield buffer.subarray(0, length);
    at += length;
  }
}
