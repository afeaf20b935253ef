import type { Fetcher, FetchRequest } from "./fetcher.ts";

const PARTIAL_CONTENT = 206;
const RANGE_NOT_SATISFIABLE = 416;

/** The body of a reply, or what follows in those of others; each piece is valid until the next one is asked for. */
export type Pieces = AsyncGenerator<Uint8Array, void, void>;

/**
 * The rest of a file from `start` on, over as many connections as it takes. Whether it is one with the beginning is
 * for the caller to find out when the whole is checked, and so is whether there is more than there may be.
 * @param begun where that is being read already.
 * @throws CfsError NotFound, Permission, Network, Cancelled
 */
export async function* restOfFile(
  fetcher: Fetcher,
  request: FetchRequest,
  start: number,
  begun?: Pieces,
): Pieces {
  const attempts = fetcher.attempts(request.signal);
  let done = start;
  let pieces = begun ?? (await piecesFrom(fetcher, request, done));
  try {
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
      attempts.progressed();
      yield next.value;
    }
  } finally {
    await pieces.return();
  }
}

function piecesFrom(fetcher: Fetcher, request: FetchRequest, start: number): Promise<Pieces> {
  const headers = { ...request.headers, Range: `bytes=${start}-` };
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
