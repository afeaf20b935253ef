import type { CfsError } from "../../errors.ts";
import { type ContentRange, parseContentRange } from "../../http/content-range.ts";
import { RequestError } from "../../http/errors.ts";
import type { Reply } from "../../http/reply.ts";
import type { Descriptor } from "../descriptor.ts";
import type { Session } from "./session.ts";

/** Bytes after which an attempt has been worth while, whatever happens then. */
const PROGRESS = 64 * 1024;

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
  while (at < size) {
    try {
      const reply = await session.fetch({
        method: "GET",
        target: blobTarget(descriptor),
        what: `blob ${descriptor.digest}`,
        headers: at === 0 ? {} : { Range: `bytes=${at}-` },
        accept: at === 0 ? [200] : [200, 206],
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
      if (at < size) throw endsEarly(reply, descriptor, at);
    } catch (error) {
      await attempts.afterFailure(error);
    }
  }
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
