import { type Compression, decompressor } from "../../compress/sync.ts";
import { CfsError } from "../../errors.ts";
import type { Fd } from "../../sys/fd.ts";
import { pread, pwriteAll } from "../../sys/file.ts";

/** Files with decompressed data may not grow beyond this. */
const MAX_PLAIN_SIZE = 256 * 1024 ** 3;
const INPUT_WINDOW = 512 * 1024;
const OUTPUT_WINDOW = 2 * 1024 * 1024;

/** A part of a file. Bytes. */
export interface FilePart {
  readonly offset: number;
  readonly size: number;
}

/**
 * How a file, or a part of it, is compressed, by its first bytes.
 * @throws CfsError Unsupported for what is known but can't be read
 */
export function compressionOf(file: Fd, offset = 0): Compression {
  const head = new Uint8Array(6);
  pread(file.fd, head, offset, file.path);
  const magic = Buffer.from(head).toString("hex");
  if (magic.startsWith("1f8b")) return "gzip";
  if (magic.startsWith("28b52ffd") || /^5.2a4d18/.test(magic)) return "zstd";
  for (const [name, start] of [
    ["xz", "fd377a585a00"],
    ["bzip2", "425a68"],
  ] as const) {
    if (magic.startsWith(start)) {
      throw new CfsError("Unsupported", `archives compressed with ${name} are not supported`, {
        hint: "decompress it first",
      });
    }
  }
  return "none";
}

/**
 * Decompresses a part of a file into another file.
 * @param to where in `target` the first byte goes.
 * @returns the part of `target` that was written.
 * @throws CfsError Corrupt, Invalid when it becomes too large
 */
export function decompressPart(
  source: Fd,
  part: FilePart,
  compression: Compression,
  target: Fd,
  to: number,
): FilePart {
  const decoder = decompressor(compression);
  try {
    const input = new Uint8Array(INPUT_WINDOW);
    const output = new Uint8Array(OUTPUT_WINDOW);
    let size = 0;
    for (let read = 0; ; ) {
      const wanted = Math.min(INPUT_WINDOW, part.size - read);
      const length = pread(source.fd, input.subarray(0, wanted), part.offset + read, source.path);
      read += length;
      for (let at = 0; ; ) {
        decoder.step(input, at, length, output, 0, OUTPUT_WINDOW);
        at += decoder.consumed;
        const { produced } = decoder;
        if (to + size + produced > MAX_PLAIN_SIZE)
          throw new CfsError("Invalid", `it has more than ${MAX_PLAIN_SIZE} bytes when decompressed`);
        pwriteAll(target.fd, output.subarray(0, produced), to + size, target.path);
        size += produced;
        if (at === length && produced < OUTPUT_WINDOW) break;
      }
      if (length < INPUT_WINDOW) break;
    }
    decoder.finish();
    return { offset: to, size };
  } catch (error) {
    decoder.close();
    throw error;
  }
}
