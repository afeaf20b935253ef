import { decompressor } from "../../compress/sync.ts";
import { CfsError } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { computeDigest, type OciDigest } from "../digest.ts";
import { asObject, optionalString, parseJsonObject, requiredArray } from "../json.ts";
import type { ByteRange } from "../source.ts";

/** How the names of the annotations begin, as containers/storage writes them now and as it did at first. */
const PREFIXES = ["io.github.containers.zstd-chunked.", "io.containers.zstd-chunked."];

/** What follows is in frames that decoders skip; their headers have this many bytes. */
const SKIPPABLE_HEADER = 8;
/** Larger tables are not worth their memory: about 300,000 files. */
const MAX_TOC_SIZE = 64 * 1024 * 1024;
const MAX_TAR_SPLIT_SIZE = 512 * 1024 * 1024;
/** What is fetched of either is in memory. */
const MAX_PACKED_SIZE = 64 * 1024 * 1024;
const MAX_ENTRIES = 2_000_000;

/** Compressed data inside of a blob. */
export interface PackedRange extends ByteRange {
  /** Bytes when decompressed. */
  readonly plainSize: number;
}

/** Where a zstd:chunked layer keeps its table of contents, and the bytes of the tar between the files. */
export interface ChunkedLayout {
  readonly toc: PackedRange;
  readonly tocDigest: OciDigest;
  readonly tarSplit: PackedRange | undefined;
  /** Bytes of the blob that make up the tar. */
  readonly tarEnd: number;
}

/** A file that is compressed on its own. */
export interface ChunkedFile {
  /** As in the tar. */
  readonly name: string;
  /** Bytes; more than 0. */
  readonly size: number;
  /** sha256 of the content. */
  readonly digest: OciDigest;
  /** The range of the blob that decompresses to exactly this file. */
  readonly offset: number;
  readonly end: number;
}

export interface TableOfContents {
  /** Regular files that are not empty, in the order of the blob. */
  readonly files: readonly ChunkedFile[];
  readonly tarSplitDigest: OciDigest | undefined;
}

/** Undefined when the layer is not zstd:chunked, or in a way that is not understood: it is a zstd layer all the same. */
export function chunkedLayout({ annotations, size }: Descriptor): ChunkedLayout | undefined {
  const annotation = (name: string) =>
    PREFIXES.map((prefix) => annotations.get(prefix + name)).find((value) => value !== undefined);
  const tocDigest = annotation("manifest-checksum");
  const toc = parsePosition(annotation("manifest-position"), size, MAX_TOC_SIZE, "1");
  if (tocDigest === undefined || toc === undefined) return undefined;
  const tarSplit = parsePosition(annotation("tarsplit-position"), size, MAX_TAR_SPLIT_SIZE);
  return { toc, tocDigest: tocDigest as OciDigest, tarSplit, tarEnd: toc.offset - SKIPPABLE_HEADER };
}

/** `OFFSET:LENGTH:PLAIN-LENGTH[:TYPE]` */
function parsePosition(
  text: string | undefined,
  blobSize: number,
  maxPlain: number,
  type?: string,
): PackedRange | undefined {
  const fields = text?.split(":");
  if (fields === undefined || fields.length !== (type === undefined ? 3 : 4) || fields[3] !== type)
    return undefined;
  if (!fields.every((field) => /^[0-9]{1,15}$/.test(field))) return undefined;
  const [offset, length, plainSize] = fields.map(Number) as [number, number, number];
  const fits = offset >= SKIPPABLE_HEADER && length > 0 && offset + length <= blobSize;
  return fits && length <= MAX_PACKED_SIZE && plainSize <= maxPlain
    ? { offset, length, plainSize }
    : undefined;
}

/**
 * @param packed the compressed table, as it was fetched.
 * @throws CfsError Corrupt, Invalid
 */
export function readTableOfContents(packed: Uint8Array, layout: ChunkedLayout): TableOfContents {
  verifyPacked(packed, layout.tocDigest, "table of contents");
  const parts: Uint8Array[] = [];
  for (const piece of unpack(packed, layout.toc.plainSize, "table of contents")) parts.push(piece.slice());
  const toc = parseJsonObject(Buffer.concat(parts), "table of contents");
  const what = "table of contents: entry";
  const files: ChunkedFile[] = [];
  for (const value of requiredArray(toc, "entries", "table of contents", MAX_ENTRIES)) {
    const entry = asObject(value, what);
    if (entry.type !== "reg" || !(typeof entry.size === "number" && entry.size > 0)) continue;
    const { name, size, digest, offset, endOffset } = entry;
    // Old tables have no end; such a file can't be told from what follows.
    if (typeof name !== "string" || typeof digest !== "string") continue;
    if (!isOffset(size) || !isOffset(offset) || !isOffset(endOffset)) continue;
    if (offset >= endOffset || endOffset > layout.tarEnd) continue;
    files.push({ name, size, digest: digest as OciDigest, offset, end: endOffset });
  }
  files.sort((a, b) => a.offset - b.offset);
  const overlapping = files.find((file, i) => i > 0 && file.offset < files[i - 1]!.end);
  if (overlapping !== undefined)
    throw new CfsError("Invalid", `table of contents: ${overlapping.name} lies inside of another file`);
  return { files, tarSplitDigest: optionalString(toc, "tarSplitDigest", "table of contents") as OciDigest };
}

function isOffset(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

/** @throws CfsError Corrupt */
export function verifyPacked(packed: Uint8Array, digest: OciDigest | undefined, what: string): void {
  const found = computeDigest(packed);
  if (found === digest) return;
  throw new CfsError("Corrupt", `Blob digest mismatch for the ${what}: computed ${found}`, {
    data: { expected: digest ?? "", found },
  });
}

const OUTPUT_STEP = 256 * 1024;

/**
 * Decompresses data in memory piece by piece; each is valid until the next one is asked for.
 * @throws CfsError Corrupt when it is damaged or has more than `max` bytes
 */
export function* unpack(packed: Uint8Array, max: number, what: string): Generator<Uint8Array> {
  const decoder = decompressor("zstd");
  const output = new Uint8Array(OUTPUT_STEP);
  let total = 0;
  try {
    for (let at = 0; ; ) {
      decoder.step(packed, at, packed.length, output, 0, OUTPUT_STEP);
      const { consumed, produced } = decoder;
      at += consumed;
      total += produced;
      if (total > max) throw new CfsError("Corrupt", `the ${what} has more than ${max} bytes`);
      if (produced > 0) yield output.subarray(0, produced);
      else if (at === packed.length || consumed === 0) break;
    }
    decoder.finish();
  } finally {
    decoder.close();
  }
}
