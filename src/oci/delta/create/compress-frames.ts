import { compressor } from "../../../compress/compressor.ts";
import { pread } from "../../../sys/file.ts";
import { type Extent, ExtentList, SharedSpool, type SpoolHandle } from "./shared-spool.ts";

/** The part of one thread in compressing operations into zstd frames. */
export interface CompressRequest {
  readonly spool: SpoolHandle;
  /** For each frame, where its operations are. */
  readonly frames: readonly (readonly Extent[])[];
  readonly level: number;
  /** Two numbers: of the frame that nobody has begun, and of the bytes that are done. Shared. */
  readonly counters: SharedArrayBuffer;
}

export interface CompressedFrame {
  readonly frame: number;
  readonly extents: readonly Extent[];
}

const PIECE = 256 * 1024;

/** Compresses frames that nobody has begun. @returns where they are in the spool. */
export function compressFrames(request: CompressRequest): CompressedFrame[] {
  const { frames, level } = request;
  const spool = new SharedSpool(request.spool);
  const counters = new BigInt64Array(request.counters);
  const buffer = new Uint8Array(PIECE);
  const compressed: CompressedFrame[] = [];
  for (;;) {
    const frame = Number(Atomics.add(counters, 0, 1n));
    const extents = frames[frame];
    if (extents === undefined) return compressed;
    const out = new ExtentList(spool);
    const sink = (piece: Uint8Array<ArrayBufferLike>) => out.append(piece);
    const packer = compressor(
      "zstd",
      level,
      extents.reduce((sum, { length }) => sum + length, 0),
    );
    try {
      for (const { offset, length } of extents) {
        for (let done = 0; done < length; done += PIECE) {
          const piece = buffer.subarray(0, Math.min(PIECE, length - done));
          pread(spool.handle.fd, piece, offset + done, "temporary file");
          packer.write(piece, sink);
          Atomics.add(counters, 1, BigInt(piece.length));
        }
      }
      packer.end(sink);
    } finally {
      packer.close();
    }
    compressed.push({ frame, extents: out.extents });
  }
}
