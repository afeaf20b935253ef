import { CfsError } from "../../errors.ts";
import { cloneFile } from "../../sys/clone.ts";
import { pread, pwriteAll } from "../../sys/file.ts";
import { hasherFor, type OciDigest } from "../digest.ts";
import type { UploadContent } from "../registry/types.ts";
import type { ReadyBlob } from "./target.ts";

const PIECE = 1024 * 1024;

/** Whether the first `size` bytes of a file have a digest. */
export function hasDigest(fd: number, size: number, digest: OciDigest): boolean {
  const { algorithm, hash } = hasherFor(digest);
  readPieces(fd, size, (piece) => hash.update(piece));
  return `${algorithm}:${hash.digest("hex")}` === digest;
}

/** Copies the first `size` bytes of a file to a place in another one. */
export function copyFile(from: number, to: number, offset: number, size: number): void {
  if (offset === 0 && cloneFile(from, to)) return;
  readPieces(from, size, (piece, at) => pwriteAll(to, piece, offset + at));
}

function readPieces(
  fd: number,
  size: number,
  onPiece: (piece: Uint8Array<ArrayBuffer>, at: number) => void,
): void {
  const buffer = new Uint8Array(Math.min(PIECE, size));
  for (let at = 0; at < size; ) {
    const piece = buffer.subarray(0, Math.min(PIECE, size - at));
    if (pread(fd, piece, at) !== piece.length) throw new CfsError("Io", "a blob changed while it was read");
    onPiece(piece, at);
    at += piece.length;
  }
}

/** A blob for a client of registries. */
export function uploadContent({ fd, digest, size }: ReadyBlob): UploadContent {
  return {
    digest,
    size,
    async *read(from) {
      for (let at = from; at < size; ) {
        // The client may still be sending one piece when it asks for the next.
        const piece = new Uint8Array(Math.min(PIECE, size - at));
        if (pread(fd, piece, at) !== piece.length)
          throw new CfsError("Io", "a blob changed while it was read");
        yield piece;
        at += piece.length;
      }
    },
  };
}
