import { CfsError, withContext } from "../errors.ts";
import { type RandomAccess, SplitstreamReader } from "../splitstream/reader.ts";
import type { Fd } from "../sys/fd.ts";
import { pread, syncfs } from "../sys/file.ts";
import { fstat } from "../sys/stat.ts";
import type { ObjectId } from "../verity/digest.ts";
import { placeLink, resolveObject } from "./links.ts";
import { checkContentId, entryComponents, objectTarget, refComponents } from "./names.ts";
import { writeRef } from "./refs.ts";
import type { Repository } from "./repository.ts";

const COPY_SIZE = 256 * 1024;

/** An open splitstream; closing it closes the object. */
export interface OpenStream extends Disposable {
  readonly id: ObjectId;
  readonly reader: SplitstreamReader;
}

/** The bytes of an open file, for formats that are read by position. */
export function fileSource(file: Fd): RandomAccess {
  return {
    size: fstat(file).size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      if (pread(file.fd, bytes, offset, file.path) !== length) {
        throw new CfsError("Corrupt", `${file.path} ends unexpectedly`);
      }
      return bytes;
    },
  };
}

/** Object of a stream named by its id or as `refs/NAME`; undefined when there is none. */
export function lookUpStream(repository: Repository, name: string): ObjectId | undefined {
  const components = entryComponents(name, "streams");
  return resolveObject(repository.dir, ["streams", ...components], repository.algorithm);
}

/**
 * Opens a stream by its id or as `refs/NAME`; where the kernel can, its digest is checked.
 * @throws CfsError NotFound, Corrupt
 */
export function openStream(repository: Repository, name: string): OpenStream {
  try {
    const id = lookUpStream(repository, name);
    if (id === undefined) throw new CfsError("NotFound", "there is no such stream");
    return openStreamObject(repository, id);
  } catch (error) {
    throw withContext(`stream '${name}'`, error);
  }
}

/** What reading a stream takes of a repository; a thread has no more of it than that. */
export type StreamHome = Pick<Repository, "objects" | "algorithm">;

/** Opens a stream by the id of its object. */
export function openStreamObject(repository: StreamHome, id: ObjectId): OpenStream {
  const file = repository.objects.open(id);
  try {
    const reader = new SplitstreamReader(fileSource(file), repository.algorithm);
    return { id, reader, [Symbol.dispose]: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Links a stream whose objects are all stored: waits until they are on disk, then makes `streams/ID`, then the ref.
 * A crash at any moment leaves either no link or one to complete data.
 */
export function linkStream(repository: Repository, contentId: string, id: ObjectId, ref?: string): void {
  const entry = checkContentId(contentId);
  if (ref !== undefined) refComponents(ref);
  repository.ensureWritable();
  if (!repository.isTemporary) syncfs(repository.dir);
  placeLink(repository.dir, ["streams", entry], objectTarget(id));
  if (ref !== undefined) writeRef(repository, "streams", ref, entry);
}

/**
 * Writes the rebuilt bytes of a stream to `write`, in pieces that are valid until it returns.
 * @throws CfsError Corrupt when an object or the stream is damaged, or the size is not the recorded one
 */
export function catStream(repository: Repository, name: string, write: Write): void {
  using stream = openStream(repository, name);
  try {
    copyStream(repository, stream.reader, write);
  } catch (error) {
    throw withContext(`stream '${name}'`, error);
  }
}

type Write = (piece: Uint8Array<ArrayBufferLike>) => void;

/** As `catStream`, for a stream that is open. */
export function copyStream(
  repository: Pick<Repository, "objects">,
  reader: SplitstreamReader,
  write: Write,
): void {
  const buffer = new Uint8Array(COPY_SIZE);
  let total = 0;
  for (const chunk of reader.chunks()) {
    if ("inline" in chunk) {
      total += chunk.inline.length;
      write(chunk.inline);
      continue;
    }
    using object = repository.objects.open(chunk.object);
    for (let offset = 0; ; ) {
      const length = pread(object.fd, buffer, offset, object.path);
      if (length > 0) write(buffer.subarray(0, length));
      offset += length;
      total += length;
      if (length < buffer.length) break;
    }
  }
  if (BigInt(total) !== reader.streamSize) {
    throw new CfsError("Corrupt", `it has ${total} bytes, but ${reader.streamSize} are recorded in it`, {
      hint: "run `cfsctl fsck` to find what is damaged",
    });
  }
}
