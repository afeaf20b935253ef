import { CfsError } from "../../errors.ts";
import { pread } from "../../sys/file.ts";
import type { BlobReader } from "../source.ts";

/**
 * A document that no descriptor speaks of, in memory.
 * @param max most bytes that are read.
 * @param what for messages.
 * @throws CfsError Invalid, Corrupt
 */
export function readWhole(
  { fd, offset, size }: BlobReader,
  max: number,
  what: string,
): Uint8Array<ArrayBuffer> {
  if (size > max) throw new CfsError("Invalid", `${what} is larger than ${max} bytes`);
  const bytes = new Uint8Array(size);
  if (pread(fd, bytes, offset, what) !== size) throw new CfsError("Corrupt", `${what} ends unexpectedly`);
  return bytes;
}
