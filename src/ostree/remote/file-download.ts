import { CfsError } from "../../errors.ts";
import type { Fetcher, FetchRequest } from "../../http/fetcher.ts";
import { type Pieces, restOfFile } from "../../http/rest-of-file.ts";
import type { Checksum } from "../checksum.ts";
import { type FetchedFile, MAX_SMALL_FILE } from "../source.ts";
import { objectPath } from "./remote-url.ts";

/** What a file in an archive begins with: length of the header, four zeros, size of the content. */
const PREFIX = 16;
const MAX_HEADER = 1024 * 1024;
/** How much longer data that hardly can be compressed may get: far more than any compressor makes it. */
const MAX_GROWTH = 1.1;

/**
 * Fetches a file as archives have it; a large one over as many connections as it takes.
 * @param onReply told how many milliseconds the reply took to begin.
 */
export function downloadFile(
  fetcher: Fetcher,
  checksum: Checksum,
  signal: AbortSignal,
  onReply: (ms: number) => void,
): Promise<FetchedFile> {
  const start = performance.now();
  const request = { path: objectPath(checksum, "filez"), what: `the file ${checksum}`, signal };
  return fetcher.fetch(request, async (reply): Promise<FetchedFile> => {
    onReply(performance.now() - start);
    const beginning = await reply.beginning(MAX_SMALL_FILE);
    if (beginning.isWhole) return beginning;
    const head = Buffer.concat(beginning.parts, beginning.size);
    const limit = largestSize(head, request.what);
    return { pieces: allPieces(fetcher, request, head, reply.chunks(), limit) };
  });
}

/** What was read already, and then the rest. @param limit bytes of both. */
async function* allPieces(
  fetcher: Fetcher,
  request: FetchRequest,
  head: Buffer,
  begun: Pieces,
  limit: number,
): Pieces {
  let done = head.length;
  try {
    yield head;
    for await (const piece of restOfFile(fetcher, request, done, begun)) {
      done += piece.length;
      if (done > limit) throw new CfsError("Corrupt", `${request.what} is larger than its header says`);
      yield piece;
    }
  } finally {
    await begun.return();
  }
}

function largestSize(head: Buffer, what: string): number {
  const headerLength = head.readUInt32BE(0);
  if (headerLength > MAX_HEADER)
    throw new CfsError("Corrupt", `${what} has a header of ${headerLength} bytes`);
  const contentSize = Number(head.readBigUInt64BE(PREFIX - 8));
  return PREFIX + headerLength + contentSize * MAX_GROWTH + MAX_SMALL_FILE;
}
