import type { Fd } from "../sys/fd.ts";
import { O_RDONLY, open, pread } from "../sys/file.ts";
import { measureVerity } from "../sys/verity.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { VerityHasher } from "../verity/merkle.ts";

const READ_SIZE = 1024 * 1024;

/**
 * The fs-verity digest of a file: what the kernel has measured, where fs-verity is enabled with this algorithm, else
 * computed of its content.
 * @param path text.
 */
export function measureFile(path: string, algorithm: Algorithm): ObjectId {
  using file = open(path, O_RDONLY);
  const measured = measureVerity(file.fd, algorithm, path);
  return measured.state === "measured" ? measured.id : hashContent(file, algorithm);
}

/** The fs-verity digest of an open file's content, whatever the kernel says; it is read piece by piece. */
export function hashContent(file: Fd, algorithm: Algorithm): ObjectId {
  const hasher = new VerityHasher(algorithm);
  const buffer = new Uint8Array(READ_SIZE);
  for (let offset = 0; ; ) {
    const length = pread(file.fd, buffer, offset, file.path);
    if (length > 0) hasher.update(buffer.subarray(0, length));
    if (length < buffer.length) return hasher.digest();
    offset += length;
  }
}
