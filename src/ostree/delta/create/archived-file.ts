import { RawInflater } from "../../../compress/inflate-raw.ts";
import { CfsError, withContext } from "../../../errors.ts";
import { pread } from "../../../sys/file.ts";
import { fstat } from "../../../sys/stat.ts";
import type { Checksum } from "../../checksum.ts";
import {
  type ArchiveHeader,
  archiveHeaderLength,
  FileHasher,
  type FileHeader,
  isSymlink,
  PREFIX_SIZE,
  parseArchiveHeader,
} from "../../file-header.ts";
import { objectFile, openObject } from "../../local/open-file.ts";

/** A file in an archive, without its content. */
export interface ArchivedFile extends ArchiveHeader {
  /** Bytes of the file object as it is stored. */
  readonly storedSize: number;
}

/** @param objectsFd of a repository of mode archive. */
export function statArchived(objectsFd: number, checksum: Checksum): ArchivedFile {
  try {
    using file = openObject(objectsFd, objectFile(checksum, "filez"));
    const prefix = new Uint8Array(PREFIX_SIZE);
    const length = archiveHeaderLength(prefix.subarray(0, pread(file.fd, prefix, 0, file.path)));
    const head = new Uint8Array(length);
    return {
      ...parseArchiveHeader(head.subarray(0, pread(file.fd, head, 0, file.path))),
      storedSize: fstat(file).size,
    };
  } catch (error) {
    throw withContext(`file ${checksum}`, error);
  }
}

/**
 * Reads a file with its content, and verifies it.
 * @param limit of bytes of its content.
 */
export function readArchived(
  objectsFd: number,
  checksum: Checksum,
  limit: number,
): { readonly header: FileHeader; readonly content: Uint8Array } {
  try {
    using file = openObject(objectsFd, objectFile(checksum, "filez"));
    // Deflate makes what it can't compress a little larger.
    const stored = new Uint8Array(Math.min(fstat(file).size, 2 * limit + 1024 * 1024));
    const length = pread(file.fd, stored, 0, file.path);
    const start = archiveHeaderLength(stored.subarray(0, Math.min(length, PREFIX_SIZE)));
    const { header, size } = parseArchiveHeader(stored.subarray(0, Math.min(start, length)));
    if (size > limit) throw new CfsError("Unsupported", `${size} bytes are too many for a part of a delta`);
    const content = isSymlink(header) ? new Uint8Array(0) : inflate(stored, start, length, size);
    const hasher = new FileHasher(header);
    hasher.update(content);
    const found = hasher.digest();
    if (found !== checksum)
      throw new CfsError("Corrupt", `Unexpected file checksum ${found}, expected ${checksum}`);
    return { header, content };
  } catch (error) {
    throw withContext(`file ${checksum}`, error);
  }
}

let inflater: RawInflater | undefined;

function inflate(stored: Uint8Array, start: number, end: number, size: number): Uint8Array {
  // Other programs than ostree leave out the deflate data of nothing.
  if (size === 0 && start === end) return new Uint8Array(0);
  // One byte more, to see whether there is more than there should be.
  const content = new Uint8Array(size + 1);
  inflater ??= new RawInflater();
  inflater.reset();
  inflater.step(stored, start, end, true, content, 0, size + 1);
  if (inflater.produced !== size)
    throw new CfsError("Corrupt", `the content has not the ${size} bytes that it should have`);
  return content.subarray(0, size);
}
