import { CfsError } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { Fd } from "../../sys/fd.ts";
import { pwriteAll } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { findObjects, hasLayers } from "../chunked/find-objects.ts";
import { type ChunkedPlan, ChunkedPlanner } from "../chunked/plan.ts";
import { readTarSplit, type TarPiece } from "../chunked/tar-split.ts";
import {
  type ChunkedLayout,
  chunkedLayout,
  readTableOfContents,
  type TableOfContents,
  unpack,
  verifyPacked,
} from "../chunked/toc.ts";
import type { Descriptor } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import type { ByteRange, RemoteBlobs } from "../source.ts";

/** Smaller layers are fetched as a whole. */
const LEAST_SIZE = 256 * 1024;
/** Ranges that are asked for one by one if need be. */
const FEW_RANGES = 100;
/** At least this part of a layer must be here already. */
const LEAST_SHARE = 0.25;

/** A layer of which only a part has to be fetched. */
export interface PlannedLayer {
  readonly plan: ChunkedPlan;
  /** The local file of the plan, with what goes in front of the ranges. */
  readonly file: Fd;
  /** About so much memory is taken until the layer is here. */
  readonly heldBytes: number;
  /** Another plan for the same file, for registries that don't take many ranges. */
  coarser(): ChunkedPlan;
}

/**
 * Finds out how a layer can be put together from files of the repository and ranges of its blob (zstd:chunked).
 * @param likely diff IDs of layers that probably hold the same files.
 * @returns undefined when the whole blob is to be fetched.
 */
export async function planLayer(
  repository: Repository,
  remote: RemoteBlobs,
  layer: Descriptor,
  likely: readonly OciDigest[],
  jobs: number,
): Promise<PlannedLayer | undefined> {
  const layout = layer.size < LEAST_SIZE ? undefined : chunkedLayout(layer);
  if (layout === undefined || !hasLayers(repository)) return undefined;
  try {
    const toc = readTableOfContents(await fetchRange(remote, layer, layout.toc), layout);
    const objects = await findObjects(repository, toc.files, likely, jobs);
    let saved = 0;
    for (const number of objects.keys()) saved += toc.files[number]!.end - toc.files[number]!.offset;
    if (saved < layer.size * LEAST_SHARE) return undefined;
    return await planFrom(repository, remote, layer, layout, toc, objects);
  } catch (error) {
    // Whatever the table of contents is worth, the blob as a whole is verified in the end.
    const isUseless = error instanceof CfsError && ["Corrupt", "Invalid", "Unsupported"].includes(error.kind);
    if (isUseless) return undefined;
    throw error;
  }
}

async function planFrom(
  repository: Repository,
  remote: RemoteBlobs,
  layer: Descriptor,
  layout: ChunkedLayout,
  { files, tarSplitDigest }: TableOfContents,
  objects: ReadonlyMap<number, ObjectId>,
): Promise<PlannedLayer> {
  const { tarSplit, tarEnd } = layout;
  const planner = (maxRanges?: number) =>
    new ChunkedPlanner(files, (number) => objects.get(number), maxRanges);
  const file = new Fd(openTemporary(repository.dir.fd), "temporary file for parts of a layer");
  try {
    let makePlan = (maxRanges?: number) => planner(maxRanges).fromFrames(tarEnd);
    if (tarSplit !== undefined && tarSplitDigest !== undefined) {
      const packed = await fetchRange(remote, layer, tarSplit);
      verifyPacked(packed, tarSplitDigest, "tar-split data");
      makePlan = (maxRanges) => {
        const pieces = readTarSplit(unpack(packed, tarSplit.plainSize, "tar-split data"));
        return planner(maxRanges).fromPieces(keepBytes(pieces, file));
      };
    }
    const heldBytes = layout.toc.plainSize + (tarSplit?.length ?? 0);
    return { plan: makePlan(), file, heldBytes, coarser: () => makePlan(FEW_RANGES) };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Writes the bytes that are no file's into the local file. */
function* keepBytes(pieces: Iterable<TarPiece>, file: Fd): Generator<TarPiece> {
  let at = 0;
  for (const piece of pieces) {
    if (piece.kind === "bytes") {
      pwriteAll(file.fd, piece.bytes, at, file.path);
      at += piece.bytes.length;
    }
    yield piece;
  }
}

async function fetchRange(remote: RemoteBlobs, layer: Descriptor, range: ByteRange): Promise<Uint8Array> {
  const bytes = new Uint8Array(range.length);
  const { signal } = new AbortController();
  let at = 0;
  const wanted = [{ offset: range.offset, length: range.length }];
  for await (const piece of remote.streamRanges(layer, wanted, signal)) {
    if (piece.bytes.length > bytes.length - at) throw new CfsError("Corrupt", "more was sent than asked for");
    bytes.set(piece.bytes, at);
    at += piece.bytes.length;
  }
  if (at !== bytes.length) throw new CfsError("Corrupt", "less was sent than asked for");
  return bytes;
}
