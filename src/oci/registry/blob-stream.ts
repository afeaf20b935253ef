import type { CfsError } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { type ContentRange, parseContentRange } from "./content-range.ts";
import { RequestError, statusOf } from "./errors.ts";
import type { Reply } from "./reply.ts";
import type { Session } from "./session.ts";

/** Bytes after which an attempt has been worth while, whatever happens then. */
const PROGRESS = 64 * 1024;

/** Bytes that are asked for at a time where connections break so soon that nothing comes through. */
const MAX_PIECE = 256 * 1024;
const MIN_PIECE = 16 * 1024;
const PIECES_UNTIL_LARGER = 8;

export function blobTarget({ digest }: Descriptor): string {
  return `blobs/${digest}`;
}

/**
 * The bytes of a blob from `from` to its end. A broken connection is taken up where it broke, as long as there is
 * progress.
 * @throws CfsError Network, NotFound, Permission; Corrupt when the blob is not of the size it should have
 */
export async function* streamBlob(
  session: Session,
  descriptor: Descriptor,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const { size } = descriptor;
  const attempts = session.attempts(signal);
  let at = from;
  let sinceProgress = 0;
  let piece = Number.POSITIVE_INFINITY;
  let completed = 0;
  while (at < size) {
    const start = at;
    const end = Math.min(size, start + piece);
    const isWhole = start === 0 && end === size;
    try {
      const reply = await session.fetch({
        method: "GET",
        target: blobTarget(descriptor),
        what: `blob ${descriptor.digest}`,
        headers: isWhole ? {} : { Range: `bytes=${start}-${end === size ? "" : end - 1}` },
        accept: isWhole ? [200] : [200, 206],
        signal,
      });
      for await (const chunk of wantedPart(reply, descriptor, at)) {
        at += chunk.length;
        sinceProgress += chunk.length;
        if (sinceProgress >= PROGRESS) {
          attempts.progressed();
          sinceProgress = 0;
        }
        yield chunk;
      }
      if (at < end) throw endsEarly(reply, descriptor, at);
      attempts.progressed();
      if (++completed % PIECES_UNTIL_LARGER === 0) piece *= 2;
    } catch (error) {
      // what arrived right before a connection broke may be lost: less at a time has a better chance to get through
      if (at === start && statusOf(error) === undefined) piece = smallerPiece(piece);
      await attempts.afterFailure(error);
    }
  }
}

function smallerPiece(piece: number): number {
  return Math.max(MIN_PIECE, Math.min(piece / 4, MAX_PIECE));
}

/** The bytes from `at` on; less than that when the server has enough of it. */
async function* wantedPart(
  reply: Reply,
  descriptor: Descriptor,
  at: number,
): AsyncGenerator<Uint8Array, void, void> {
  const { size, digest } = descriptor;
  const range = await announced(reply, descriptor);
  if (range.start > at) {
    await reply.discard();
    throw new RequestError(
      "Network",
      `${reply.url.host}: blob ${digest}: it sent other bytes than asked for`,
    );
  }
  let position = range.start;
  for await (const chunk of reply.chunks()) {
    const end = position + chunk.length;
    if (end > size) {
      throw new RequestError("Corrupt", `${reply.url.host}: blob ${digest} is larger than ${size} bytes`, {
        data: { digest, expected: size },
      });
    }
    // a server without ranges starts at the beginning again
    if (end > at) yield position >= at ? chunk : chunk.subarray(at - position);
    position = end;
  }
}

/** The part of the blob that a reply says it holds. @throws CfsError Corrupt, Network */
export async function announced(reply: Reply, { size, digest }: Descriptor): Promise<ContentRange> {
  if (reply.status === 206) {
    const range = parseContentRange(reply.headers.get("content-range"));
    if (range === undefined) {
      await reply.discard();
      throw new RequestError(
        "Network",
        `${reply.url.host}: blob ${digest}: it doesn't say which part of the blob it sent`,
      );
    }
    await checkSize(reply, digest, size, range.total ?? size);
    await checkSize(reply, digest, size, Math.max(range.end, size));
    return range;
  }
  await checkSize(reply, digest, size, reply.length ?? size);
  return { start: 0, end: size, total: size };
}

async function checkSize(reply: Reply, digest: string, expected: number, found: number): Promise<void> {
  if (expected === found) return;
  await reply.discard();
  throw new RequestError(
    "Corrupt",
    `${reply.url.host}: blob ${digest} has ${found} bytes, but the manifest says ${expected}`,
    {
      hint: "the registry's copy is damaged; the image has to be pushed again",
      data: { digest, expected, found },
    },
  );
}

function endsEarly(reply: Reply, { size, digest }: Descriptor, at: number): CfsError {
  return new RequestError("Network", `${reply.url.host}: blob ${digest} ends after ${at} of ${size} bytes`, {
    transient: true,
    hint: "check the network, or try again later",
  });
}
