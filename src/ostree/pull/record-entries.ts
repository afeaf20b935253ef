import type { Fd } from "../../sys/fd.ts";
import { append, pread } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { CHECKSUM_SIZE, type Checksum, checksumBytes, checksumOf, computeChecksum } from "../checksum.ts";
import type { StoredObject } from "../commit-table.ts";

/*
 * The record of a pull: one entry after the other, integers little-endian.
 *
 *   u32   bytes of what follows but the last field
 *   32    checksum of the ostree object
 *   u8    1 when an object of the repository has the content
 *   …     its digest, if so
 *   …     the data, as in a commit's stream
 *   8     the first bytes of the SHA-256 of the fields from the checksum on
 */
const LENGTH_SIZE = 4;
const SEAL_SIZE = 8;
/** Larger objects are fetched again. */
const MAX_DATA = 1024 * 1024;
const READ_SIZE = 4 * 1024 * 1024;

/** @returns undefined for an object that is not remembered. */
export function encodeEntry(
  checksum: Checksum,
  data: Uint8Array,
  external: ObjectId | undefined,
): Uint8Array | undefined {
  if (data.length > MAX_DATA) return undefined;
  const id = external === undefined ? NO_ID : Buffer.from(external, "hex");
  const bodySize = CHECKSUM_SIZE + 1 + id.length + data.length;
  const entry = Buffer.allocUnsafe(LENGTH_SIZE + bodySize + SEAL_SIZE);
  entry.writeUInt32LE(bodySize);
  entry.set(checksumBytes(checksum), LENGTH_SIZE);
  entry[LENGTH_SIZE + CHECKSUM_SIZE] = external === undefined ? 0 : 1;
  entry.set(id, LENGTH_SIZE + CHECKSUM_SIZE + 1);
  entry.set(data, LENGTH_SIZE + CHECKSUM_SIZE + 1 + id.length);
  entry.set(sealOf(entry.subarray(LENGTH_SIZE, LENGTH_SIZE + bodySize)), LENGTH_SIZE + bodySize);
  return entry;
}

/**
 * Remembers an object whose content is about to get its name in the repository: what has a name is never fetched again.
 * @param record a descriptor that appends.
 */
export function recordFile(record: number, checksum: Checksum, data: Uint8Array, external: ObjectId): void {
  const entry = encodeEntry(checksum, data, external);
  if (entry !== undefined) append(record, entry, "record of the pull");
}

const NO_ID = new Uint8Array(0);

export interface RecordContent {
  readonly objects: Map<Checksum, StoredObject>;
  /** Behind the last entry that is whole. */
  readonly end: number;
}

/** @param length bytes of the record. @param idSize bytes of a digest. */
export function readEntries(file: Fd, length: number, idSize: number): RecordContent {
  const objects = new Map<Checksum, StoredObject>();
  let end = 0;
  let buffer: Buffer = Buffer.alloc(0);
  for (let at = 0; at < length; ) {
    const more = Buffer.alloc(Math.min(READ_SIZE, length - at));
    const count = pread(file.fd, more, at, file.path);
    if (count === 0) break;
    at += count;
    buffer = Buffer.concat([buffer, more.subarray(0, count)]);
    let used = 0;
    for (;;) {
      const size = readEntry(buffer, used, idSize, objects);
      if (size === 0) break;
      used += size;
    }
    end += used;
    buffer = buffer.subarray(used);
    if (buffer.length > LENGTH_SIZE + CHECKSUM_SIZE + 1 + idSize + MAX_DATA + SEAL_SIZE) break;
  }
  return { objects, end };
}

/** @returns its size; 0 when it is not whole. */
function readEntry(buffer: Buffer, at: number, idSize: number, into: Map<Checksum, StoredObject>): number {
  if (buffer.length - at < LENGTH_SIZE) return 0;
  const length = buffer.readUInt32LE(at);
  const start = at + LENGTH_SIZE;
  const end = start + length;
  if (length <= CHECKSUM_SIZE || end + SEAL_SIZE > buffer.length) return 0;
  const body = buffer.subarray(start, end);
  if (!sealOf(body).equals(buffer.subarray(end, end + SEAL_SIZE))) return 0;
  const dataAt = CHECKSUM_SIZE + 1 + (body[CHECKSUM_SIZE] === 1 ? idSize : 0);
  if (dataAt > length) return 0;
  const hasExternal = dataAt > CHECKSUM_SIZE + 1;
  const external = hasExternal ? (body.hexSlice(CHECKSUM_SIZE + 1, dataAt) as ObjectId) : undefined;
  // A copy: else each entry would keep all that was read with it.
  const data = new Uint8Array(body.subarray(dataAt));
  into.set(checksumOf(body.subarray(0, CHECKSUM_SIZE)), { data, external });
  return LENGTH_SIZE + length + SEAL_SIZE;
}

function sealOf(body: Uint8Array): Buffer {
  return Buffer.from(computeChecksum(body), "hex").subarray(0, SEAL_SIZE);
}
