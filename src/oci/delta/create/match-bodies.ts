import { constants, zstdCompressSync } from "node:zlib";
import { bytesOf } from "../../../bytes.ts";
import { SharedBudget } from "../../../parallel/budget.ts";
import type { ObjectStoreHandle } from "../../../repository/objects.ts";
import type { BlockIndexMemory } from "../../../similarity/block-index.ts";
import type { ObjectId } from "../../../verity/digest.ts";
import type { TarDiffVersion } from "../format.ts";
import { OperationWriter } from "../operation-writer.ts";
import { BodyMatcher, MAX_RATIO, MAX_WHOLE } from "./body-matcher.ts";
import { ObjectReader } from "./object-reader.ts";
import type { ReusableFile } from "./reusable-files.ts";
import { type Extent, ExtentList, SharedSpool, type SpoolHandle } from "./shared-spool.ts";
import { writePieces } from "./write-pieces.ts";

/** A file of the target's layers that is not in the source image, or a part of one that is large. */
export interface Body {
  readonly id: ObjectId;
  readonly offset: number;
  /** Bytes; at most `MAX_BODY`. */
  readonly length: number;
  /** Number of a source file that is probably like it. */
  readonly similar: number | undefined;
}

/** A thread holds so much of a body in memory. */
export const MAX_BODY = 16 * 1024 * 1024;

/** For all threads together. */
const MEMORY = 320 * 1024 * 1024;
/** Bytes that it takes to compare with a byte of a file. */
const WHOLE_COST = 3;
const WAIT_MS = 2;

/** The part of one thread in matching the bodies of new files. */
export interface MatchRequest {
  readonly stores: readonly ObjectStoreHandle[];
  readonly files: readonly ReusableFile[];
  readonly index: BlockIndexMemory;
  readonly bodies: readonly Body[];
  readonly version: TarDiffVersion;
  readonly spool: SpoolHandle;
  /** Memory that all threads take for bodies and what these are compared with: a `SharedBudget`. */
  readonly memory: SharedArrayBuffer;
  /** Two numbers: of the body that nobody has begun, and of the bytes that are done. Shared. */
  readonly counters: SharedArrayBuffer;
}

/** Operations that make a body, in the spool. */
export interface MatchedBody {
  readonly body: number;
  readonly extents: readonly Extent[];
}

/** Matches bodies that nobody has begun. */
export function matchBodies(request: MatchRequest): MatchedBody[] {
  const { files, bodies } = request;
  const counters = new BigInt64Array(request.counters);
  const spool = new SharedSpool(request.spool);
  using reader = new ObjectReader(request.stores);
  const matcher = new BodyMatcher(files, reader, request.index);
  const matched: MatchedBody[] = [];
  const memory = new SharedBudget(request.memory, MEMORY);
  for (;;) {
    const number = Number(Atomics.add(counters, 0, 1n));
    const body = bodies[number];
    if (body === undefined) return matched;
    const needed = memoryFor(body, files);
    while (!memory.take(needed)) Bun.sleepSync(WAIT_MS);
    const extents = new ExtentList(spool);
    try {
      const bytes = new Uint8Array(body.length);
      reader.read(body.id, body.offset, bytes);
      writeBody(request, matcher, bytes, body, (piece) => extents.append(piece));
      // The next window of a large body is compared with the same file.
      if (isWhole(body)) matcher.forget();
    } finally {
      memory.give(needed);
    }
    matched.push({ body: number, extents: extents.extents });
    Atomics.add(counters, 1, BigInt(body.length));
  }
}

/** The body, what is written of it, and a file that it is compared with. */
function memoryFor({ length, similar }: Body, files: readonly ReusableFile[]): number {
  const old = similar === undefined ? MAX_RATIO * length : files[similar]!.size;
  return 3 * length + WHOLE_COST * Math.min(old, MAX_WHOLE);
}

function writeBody(
  { files, version }: MatchRequest,
  matcher: BodyMatcher,
  young: Uint8Array,
  body: Body,
  sink: (piece: Uint8Array<ArrayBufferLike>) => void,
): void {
  const pathOf = (file: number) => bytesOf(files[file]!.path);
  const pieces = matcher.match(young, body.similar);
  if (version === 1 || !isWhole(body)) {
    const writer = new OperationWriter(sink);
    writePieces(writer, young, pieces, pathOf);
    writer.flush();
    return;
  }
  const operations: Uint8Array[] = [];
  const writer = new OperationWriter((piece) => operations.push(piece.slice()));
  writePieces(writer, young, pieces, pathOf);
  writer.flush();
  const [{ file } = { file: body.similar }] = pieces;
  const old = file === undefined ? undefined : matcher.wholeFile(file);
  const patch = old === undefined ? undefined : smallerPatch(old, young, Buffer.concat(operations));
  if (file === undefined || old === undefined || patch === undefined) {
    for (const piece of operations) sink(piece);
    return;
  }
  const patched = new OperationWriter(sink);
  patched.open(pathOf(file));
  patched.zstdDict(patch, old.length);
  patched.flush();
}

function isWhole({ offset, length }: Body): boolean {
  return offset === 0 && length < MAX_BODY;
}

/** Larger prefixes are not searched to their beginning. */
const MAX_PREFIX_USED = 4 * 1024 * 1024;
/**
 * What the operations cost is known only when they are compressed together with those around them, which are often much
 * like them: a frame of its own has to be far smaller.
 */
const CONTEXT_SHARE = 0.7;
/** Both are tried with little effort first. */
const FAST_LEVEL = 3;
const BEST_LEVEL = 19;

/** A frame with the old bytes as prefix, when it is smaller than the operations. */
function smallerPatch(
  old: Uint8Array<ArrayBufferLike>,
  young: Uint8Array,
  operations: Uint8Array,
): Uint8Array | undefined {
  if (old.length > MAX_PREFIX_USED || young.length > MAX_PREFIX_USED || isDictionary(old)) return undefined;
  let patch: Uint8Array | undefined;
  for (const level of [FAST_LEVEL, BEST_LEVEL]) {
    const params = { [constants.ZSTD_c_compressionLevel]: level };
    const limit = zstdCompressSync(operations, { params }).length * CONTEXT_SHARE;
    patch = zstdCompressSync(young, { params, dictionary: old });
    if (patch.length >= limit) return undefined;
  }
  return patch;
}

/** How dictionaries of zstd begin (RFC 8878 §5). */
const DICTIONARY_MAGIC = 0xec30a437;

/** Whether the compressor would take bytes for a dictionary, instead of a prefix. */
function isDictionary(bytes: Uint8Array<ArrayBufferLike>): boolean {
  return (
    bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === DICTIONARY_MAGIC
  );
}
