import { inflateXz } from "../../compress/xz.ts";
import { CfsError } from "../../errors.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { Fd } from "../../sys/fd.ts";
import { pwriteAll } from "../../sys/file.ts";
import { fstat } from "../../sys/stat.ts";
import { readGVariant } from "../gvariant.ts";
import { offsetWidth } from "../gvariant-type.ts";
import { MAX_METADATA_SIZE, swap32, type XattrPair, xattrPairs } from "../objects.ts";
import { type ByteRange, fileRange, memoryRange, PIECE, pieces, subRange } from "./byte-range.ts";
import type { ByteLocation } from "./superblock-layout.ts";

/** A part as it is stored: in memory, or in an open file, or a place in it, that is closed when it has been read. */
export type StoredPart =
  | Uint8Array<ArrayBuffer>
  | { readonly fd: number; readonly place?: ByteLocation | undefined };

export const UNCOMPRESSED = 0;
export const XZ = 0x78;

/** Parts that are larger when inflated go into a file. */
const MEMORY_LIMIT = 8 * 1024 * 1024;
/** Bytes that are inflated from one garbage collection to the next: the pieces pile up, as they lie outside of the heap. */
const COLLECT_EVERY = 4 * 1024 * 1024;
/**
 * What a part may have beside the content of its objects, and beside as much again: patches are larger than what they
 * make when little of the old file is in it.
 */
const ALLOWANCE = 16 * 1024 * 1024;

/** Bytes that a part may inflate to, and that its objects may have. */
export function partLimit(contentSize: number): number {
  return Math.min(2 * contentSize + ALLOWANCE, 0xffffffff);
}

export interface FileMode {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** What a part consists of: `(a(uuu)aa(ayay)ayay)`. */
export interface PartContent extends Disposable {
  readonly isCompressed: boolean;
  /** Owners and modes of files. */
  readonly modes: readonly FileMode[];
  /** Sets of extended attributes of files. */
  readonly xattrs: readonly (readonly XattrPair[])[];
  /** Data that operations refer to. */
  readonly data: ByteRange;
  readonly operations: Uint8Array;
}

/**
 * Verifies and inflates a part.
 * @param repositoryFd where to put what is too large for the memory.
 * @throws CfsError Corrupt, Unsupported for unknown kinds of compression.
 */
export async function openPartContent(
  stored: StoredPart,
  expected: { readonly checksum: string; readonly contentSize: number },
  repositoryFd: number,
): Promise<PartContent> {
  using stack = new DisposableStack();
  const range = openStored(stored, stack);
  verify(range, expected.checksum);
  if (range.size === 0) throw new CfsError("Corrupt", "empty delta part");
  const compression = range.read(0, 1)[0]!;
  const body = pieces(range, 1, range.size - 1, "part");
  let inflated: ByteRange;
  if (compression === UNCOMPRESSED) inflated = subRange(range, 1, range.size - 1, "part");
  else if (compression === XZ)
    inflated = await inflate(body, partLimit(expected.contentSize), repositoryFd, stack);
  else {
    const found = `0x${compression.toString(16).padStart(2, "0")}`;
    throw new CfsError("Unsupported", `unknown delta part compression type ${found}`, {
      hint: "pull without the delta",
    });
  }
  const content = split(inflated);
  const resources = stack.move();
  return { ...content, isCompressed: compression === XZ, [Symbol.dispose]: () => resources.dispose() };
}

function openStored(stored: StoredPart, stack: DisposableStack): ByteRange {
  if (!("fd" in stored)) return memoryRange(stored);
  const file = stack.use(new Fd(stored.fd, "delta part"));
  const whole = fileRange(file, fstat(file).size);
  const { place } = stored;
  return place === undefined ? whole : subRange(whole, place.start, place.size, "superblock");
}

function verify(range: ByteRange, expected: string): void {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const piece of pieces(range, 0, range.size, "part")) hasher.update(piece as Uint8Array<ArrayBuffer>);
  const found = hasher.digest("hex");
  if (found === expected) return;
  throw new CfsError("Corrupt", `checksum mismatch: expected ${expected}, got ${found}`, {
    hint: "get the delta again, or pull without it",
    data: { expected, found },
  });
}

async function inflate(
  body: Iterable<Uint8Array>,
  limit: number,
  repositoryFd: number,
  stack: DisposableStack,
): Promise<ByteRange> {
  let memory = Buffer.alloc(Math.min(limit, 4 * PIECE));
  let file: Fd | undefined;
  let size = 0;
  await inflateXz(body, (piece) => {
    const end = size + piece.length;
    if (end > limit)
      throw new CfsError("Corrupt", `it inflates to more than the ${limit} bytes that its objects may need`);
    if (file === undefined && end > MEMORY_LIMIT) {
      file = stack.use(new Fd(openTemporary(repositoryFd), "temporary file"));
      pwriteAll(file.fd, memory.subarray(0, size), 0, file.path);
      memory = Buffer.alloc(0);
    }
    if (file === undefined) {
      if (end > memory.length) memory = enlarged(memory, size, end);
      memory.set(piece, size);
    } else pwriteAll(file.fd, piece, size, file.path);
    if (size % COLLECT_EVERY > end % COLLECT_EVERY) Bun.gc(true);
    size = end;
  });
  return file === undefined ? memoryRange(memory.subarray(0, size)) : fileRange(file, size);
}

function enlarged(memory: Buffer, used: number, needed: number): Buffer<ArrayBuffer> {
  const larger = Buffer.alloc(Math.max(needed, memory.length * 2));
  larger.set(memory.subarray(0, used));
  return larger;
}

/** Finds the four members of the payload without reading the data. */
function split(payload: ByteRange): Omit<PartContent, keyof Disposable | "isCompressed"> {
  const { size } = payload;
  const width = offsetWidth(size, 0);
  const table = 3 * width;
  if (size < table || width === 8) throw notNormal();
  const bodyEnd = size - table;
  const offsets = Buffer.from(payload.read(bodyEnd, size));
  const end = (index: number) => offsets.readUIntLE((2 - index) * width, width);
  const modesEnd = end(0);
  const xattrsEnd = end(1);
  const dataEnd = end(2);
  const isOrdered = modesEnd <= xattrsEnd && xattrsEnd <= dataEnd && dataEnd <= bodyEnd;
  if (!isOrdered || offsetWidth(bodyEnd, 3) !== width) throw notNormal();
  const member = (start: number, to: number) => {
    if (to - start > MAX_METADATA_SIZE) throw new CfsError("Corrupt", "a table in it is too large");
    // Not a view: what is read next may take its place.
    return payload.read(start, to).slice();
  };
  const modes = readGVariant("a(uuu)", member(0, modesEnd)) as [number, number, number][];
  const xattrs = readGVariant("aa(ayay)", member(modesEnd, xattrsEnd)) as [Uint8Array, Uint8Array][][];
  return {
    modes: modes.map(([uid, gid, mode]) => ({ uid: swap32(uid), gid: swap32(gid), mode: swap32(mode) })),
    xattrs: xattrs.map((pairs) => xattrPairs(pairs, "delta part")),
    data: subRange(payload, xattrsEnd, dataEnd - xattrsEnd, "part"),
    operations: member(dataEnd, bodyEnd),
  };
}

function notNormal(): CfsError {
  return new CfsError("Corrupt", "not a GVariant in normal form: wrong framing of a delta part");
}
