import { compressor } from "../../../compress/compressor.ts";
import { pread } from "../../../sys/file.ts";
import { type Extent, ExtentList, SharedSpool, type SpoolHandle } from "./shared-spool.ts";

/** Operations to be compressed into a zstd frame. */
export interface FrameRequest {
  readonly spool: SpoolHandle;
  /** Where the operations are. */
  readonly extents: readonly Extent[];
  readonly level: number;
}

const PIECE = 256 * 1024;

/** Compresses operations. @returns where the frame is in the spool. */
export function compressFrame({ spool: handle, extents, level }: FrameRequest): readonly Extent[] {
  const spool = new SharedSpool(handle);
  const frame = new ExtentList(spool);
  const packer = compressor("zstd", level);
  const buffer = new Uint8Array(PIECE);
  const sink = (piece: Uint8Array<ArrayBufferLike>) => frame.append(piece);
  try {
    for (const { offset, length } of extents) {
      for (let done = 0; done < length; done += PIECE) {
        const piece = buffer.subarray(0, Math.min(PIECE, length - done));
        pread(handle.fd, piece, offset + done, "temporary file");
        packer.write(piece, sink);
      }
    }
    packer.end(sink);
  } finally {
    packer.close();
  }
  return frame.extents;
}
