import { compressor } from "../../compress/compressor.ts";
import type { Compression } from "../../compress/sync.ts";
import { CfsError, withContext } from "../../errors.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { copyStream, type OpenStream, openStreamObject } from "../../repository/streams.ts";
import { openTemporary } from "../../repository/temporary.ts";
import type { Chunk } from "../../splitstream/reader.ts";
import { pread, pwriteAll } from "../../sys/file.ts";
import { libc } from "../../sys/libc.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { hasherFor, type OciDigest } from "../digest.ts";

/** A stream of the repository whose content is to be a blob. */
export interface PackRequest {
  readonly store: ObjectStoreHandle;
  /** Object of the splitstream. */
  readonly stream: ObjectId;
  readonly contentType: string;
  /** Of the stream's content: it is verified. */
  readonly digest: OciDigest;
  readonly compression: Compression;
  readonly level: number | undefined;
  /** Descriptor of the directory for the file. */
  readonly directory: number;
  /** One number a layer: bytes of the stream that were read. Shared. */
  readonly progress: SharedArrayBuffer;
  /** Of this layer in `progress`. */
  readonly index: number;
}

export interface PackedBlob {
  /** The whole file is the blob; to be closed by the receiver. */
  readonly fd: number;
  /** Otherwise it is an object, which is not to be changed. */
  readonly isTemporary: boolean;
  readonly digest: OciDigest;
  readonly size: number;
}

/** Of files that may become blobs of a layout. */
const FILE_MODE = 0o644;
const PIECE = 256 * 1024;

/**
 * Makes a blob of a stream: rebuilt, compared with its digest, and compressed.
 * @throws CfsError Corrupt
 */
export function packBlob(request: PackRequest): PackedBlob {
  const store = new ObjectStore(request.store);
  try {
    using stream = openStreamObject({ objects: store, algorithm: store.algorithm }, request.stream);
    stream.reader.expectContentType(request.contentType);
    return request.compression === "none"
      ? (useObject(request, store, stream) ?? rebuild(request, store, stream))
      : rebuild(request, store, stream);
  } catch (error) {
    throw withContext(`layer ${request.digest}`, error);
  } finally {
    store.close();
  }
}

/** A stream that is one object needs no copy. */
function useObject(
  { digest, progress, index }: PackRequest,
  store: ObjectStore,
  { reader }: OpenStream,
): PackedBlob | undefined {
  const first: Chunk[] = [];
  for (const chunk of reader.chunks()) {
    first.push(chunk);
    if (first.length === 2 || "inline" in chunk) return undefined;
  }
  const [chunk] = first;
  if (chunk === undefined || "inline" in chunk) return undefined;
  const counter = new Float64Array(progress);
  const file = store.open(chunk.object);
  try {
    const { algorithm, hash } = hasherFor(digest);
    const buffer = new Uint8Array(PIECE);
    let size = 0;
    for (let length = PIECE; length === PIECE; ) {
      length = pread(file.fd, buffer, size, file.path);
      hash.update(buffer.subarray(0, length));
      size += length;
      counter[index] = size;
    }
    expectDigest(digest, `${algorithm}:${hash.digest("hex")}`);
    return { fd: file.release(), isTemporary: false, digest, size };
  } finally {
    file.close();
  }
}

function rebuild(request: PackRequest, store: ObjectStore, { reader }: OpenStream): PackedBlob {
  const { digest, compression, progress, index } = request;
  const { algorithm, hash: plainHash } = hasherFor(digest);
  const blobHash = compression === "none" ? undefined : new Bun.CryptoHasher("sha256");
  const counter = new Float64Array(progress);
  const packer = compressor(compression, request.level);
  const fd = openTemporary(request.directory, FILE_MODE);
  try {
    let size = 0;
    const write = (piece: Uint8Array<ArrayBufferLike>) => {
      blobHash?.update(piece as Uint8Array<ArrayBuffer>);
      pwriteAll(fd, piece, size, "temporary file");
      size += piece.length;
    };
    copyStream({ objects: store }, reader, (piece) => {
      plainHash.update(piece as Uint8Array<ArrayBuffer>);
      packer.write(piece, write);
      counter[index]! += piece.length;
    });
    packer.end(write);
    expectDigest(digest, `${algorithm}:${plainHash.digest("hex")}`);
    const blobDigest = blobHash === undefined ? digest : (`sha256:${blobHash.digest("hex")}` as OciDigest);
    return { fd, isTemporary: true, digest: blobDigest, size };
  } catch (error) {
    libc.close(fd);
    throw error;
  } finally {
    packer.close();
  }
}

function expectDigest(expected: OciDigest, found: string): void {
  if (found === expected) return;
  throw new CfsError("Corrupt", `Layer ${expected} has incorrect checksum: computed ${found}`, {
    data: { expected, found },
    hint: "find the damaged object with `cfsctl fsck`, remove it and pull the image again",
  });
}
