import { CfsError } from "../../errors.ts";
import type { Fetcher, FetchRequest } from "../../http/fetcher.ts";
import type { Checksum } from "../checksum.ts";
import type { FetchedFile } from "../source.ts";
import { objectPath } from "./remote-url.ts";

/** Files up to this size are handed over in one piece. */
const SMALL = 1024 * 1024;
/** What a file in an archive begins with: length of the header, four zeros, size of the content. */
const PREFIX = 16;
const MAX_HEADER = 1024 * 1024;
/** How much longer data that hardly can be compressed may get: far more than any compressor makes it. */
const MAX_GROWTH = 1.1;
const PARTIAL_CONTENT = 206;
const RANGE_NOT_SATISFIABLE = 416;

type Pieces = AsyncGenerator<Uint8Array, void, void>;

/** Fetches a file as archives have it; a large one over as many connections as it takes. */
export function downloadFile(
  fetcher: Fetcher,
  checksum: Checksum,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const request = { path: objectPath(checksum, "filez"), what: `the file ${checksum}`, signal };
  return fetcher.fetch(request, async (reply): Promise<FetchedFile> => {
    const pieces = reply.chunks();
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    while (size <= SMALL) {
      const next = await pieces.next();
      if (next.done)
        return { bytes: parts.length === 1 ? parts[0]! : new Uint8Array(Buffer.concat(parts, size)) };
      parts.push(new Uint8Array(next.value));
      size += next.value.length;
    }
    return { pieces: allPieces(fetcher, request, Buffer.concat(parts, size), pieces) };
  });
}

/** What was read already, and then the rest. */
async function* allPieces(fetcher: Fetcher, request: FetchRequest, head: Buffer, begun: Pieces): Pieces {
  const limit = largestSize(head, request.what);
  const attempts = fetcher.attempts(request.signal);
  let pieces = begun;
  let done = head.length;
  try {
    yield head;
    for (;;) {
      let next: IteratorResult<Uint8Array, void>;
      try {
        next = await pieces.next();
      } catch (error) {
        await attempts.afterFailure(error);
        pieces = await piecesFrom(fetcher, request, done);
        continue;
      }
      if (next.done) return;
      done += next.value.length;
      if (done > limit) throw new CfsError("Corrupt", `${request.what} is larger than its header says`);
      attempts.progressed();
      yield next.value;
    }
  } finally {
    await pieces.return();
  }
}

function largestSize(head: Buffer, what: string): number {
  const headerLength = head.readUInt32BE(0);
  if (headerLength > MAX_HEADER)
    throw new CfsError("Corrupt", `${what} has a header of ${headerLength} bytes`);
  const contentSize = Number(head.readBigUInt64BE(PREFIX - 8));
  return PREFIX + headerLength + contentSize * MAX_GROWTH + SMALL;
}

/** The rest of a file. Whether it is one with the beginning is found out when the whole is checked. */
function piecesFrom(fetcher: Fetcher, request: FetchRequest, start: number): Promise<Pieces> {
  const headers = { Range: `bytes=${start}-` };
  const accept = [PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE];
  return fetcher.fetch({ ...request, headers, accept }, async (reply) => {
    if (reply.status === RANGE_NOT_SATISFIABLE) {
      await reply.discard();
      return nothing();
    }
    const isRest =
      reply.status === PARTIAL_CONTENT &&
      (reply.headers.get("content-range") ?? "").startsWith(`bytes ${start}-`);
    return isRest ? reply.chunks() : without(reply.chunks(), start);
  });
}

async function* nothing(): Pieces {}

async function* without(pieces: Pieces, start: number): Pieces {
  let left = start;
  for await (const piece of pieces) {
    const skipped = Math.min(left, piece.length);
    left -= skipped;
    if (skipped < piece.length) yield piece.subarray(skipped);
  }
}
