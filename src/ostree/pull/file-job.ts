import { withContext } from "../../errors.ts";
import { preferSystemHash } from "../../repository/fast-hash.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { Fd } from "../../sys/fd.ts";
import { CHECKSUM_SIZE, type Checksum, checksumOf } from "../checksum.ts";
import { objectFile, openBareFile, openObject, readerOf } from "../local/open-file.ts";
import type { LocalFiles } from "../source.ts";
import { FileStorer, type StoredFile } from "./file-storer.ts";

/** A file as archives have it: in memory, or in an open file that is closed when it has been read. */
export type FetchedContent = Uint8Array<ArrayBuffer> | { readonly fd: number };

/** Files to be verified and stored together. */
export interface FileBatch {
  readonly store: ObjectStoreHandle;
  /** Where the files come from, for messages. */
  readonly label: string;
  /** One after the other. */
  readonly checksums: Uint8Array<ArrayBuffer>;
  /** A repository, or what was fetched of each file. */
  readonly files: LocalFiles | readonly FetchedContent[];
}

/** What became of the files of a batch, in their order. */
export interface FileBatchResult {
  /** Bytes of `data` of each. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** As the commit stream has it, one after the other. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** A digest for each file; only where `isExternal` is 1. */
  readonly externals: Uint8Array<ArrayBuffer>;
  readonly isExternal: Uint8Array<ArrayBuffer>;
  /** Of content. */
  readonly bytes: number;
}

/** Verifies and stores files: the job of a worker thread. */
export function storeFiles(batch: FileBatch): FileBatchResult {
  preferSystemHash(batch.store.algorithm.hash);
  const store = new ObjectStore(batch.store);
  try {
    return storeAll(batch, new FileStorer(store));
  } finally {
    store.close();
  }
}

function storeAll(batch: FileBatch, storer: FileStorer): FileBatchResult {
  const { algorithm } = batch.store;
  const count = batch.checksums.length / CHECKSUM_SIZE;
  const lengths = new Uint32Array(count);
  const isExternal = new Uint8Array(count);
  const externals = Buffer.from(new ArrayBuffer(count * algorithm.size));
  const data: Uint8Array[] = [];
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const checksum = checksumOf(batch.checksums.subarray(i * CHECKSUM_SIZE, (i + 1) * CHECKSUM_SIZE));
    try {
      const stored = storeOne(batch, i, checksum, storer);
      lengths[i] = stored.data.length;
      data.push(stored.data);
      bytes += stored.size;
      if (stored.external === undefined) continue;
      isExternal[i] = 1;
      externals.hexWrite(stored.external, i * algorithm.size);
    } catch (error) {
      throw withContext(`${batch.label}: file ${checksum}`, error);
    }
  }
  return {
    lengths,
    data: new Uint8Array(Buffer.concat(data)),
    externals: new Uint8Array(externals.buffer),
    isExternal,
    bytes,
  };
}

function storeOne({ files }: FileBatch, index: number, checksum: Checksum, storer: FileStorer): StoredFile {
  if (!("kind" in files)) return storeFetched(files[index]!, checksum, storer);
  if (files.mode === "archive") {
    using file = openObject(files.objectsFd, objectFile(checksum, "filez"));
    return storer.storeArchived(checksum, readerOf(file));
  }
  const file = openBareFile(files, checksum);
  if (file.content === undefined) return storer.storeSymlink(checksum, file.header);
  using content = file.content;
  return storer.storePlain(checksum, file.header, file.size, readerOf(content));
}

function storeFetched(fetched: FetchedContent, checksum: Checksum, storer: FileStorer): StoredFile {
  if ("fd" in fetched) {
    using file = new Fd(fetched.fd, "temporary file");
    return storer.storeArchived(checksum, readerOf(file));
  }
  return storer.storeArchived(checksum, (buffer, position) => {
    const piece = fetched.subarray(position, position + buffer.length);
    buffer.set(piece);
    return piece.length;
  });
}
