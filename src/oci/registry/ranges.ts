import { CfsError } from "../../errors.ts";
import { RequestError, statusOf } from "../../http/errors.ts";
import type { Reply } from "../../http/reply.ts";
import type { Descriptor } from "../descriptor.ts";
import type { ByteRange } from "../source.ts";
import { announced, blobTarget } from "./blob-stream.ts";
import { MultipartError, multipartBoundary, type PlacedBytes, parseMultipart } from "./multipart.ts";
import type { Session } from "./session.ts";

/** Servers refuse long headers (often beyond 8 KiB), and many ranges. */
const MAX_HEADER = 4096;
const MAX_RANGES = 100;

/** So many requests, each for one range, are worth it when a server knows only such. */
const MAX_SINGLE_REQUESTS = 128;

/** What servers answer that want nothing to do with several ranges. */
const REFUSALS = [400, 413, 414, 416, 431, 501];

/**
 * The bytes of some ranges of a blob, in order. Broken connections are taken up again.
 * @param ranges ascending, without overlap.
 * @throws CfsError Unsupported when the server has no ranges; then nothing was given yet. Network, Corrupt, …
 */
export async function* streamBlobRanges(
  session: Session,
  descriptor: Descriptor,
  ranges: readonly ByteRange[],
  signal: AbortSignal,
): AsyncGenerator<PlacedBytes, void, void> {
  const attempts = session.attempts(signal);
  const pending = new PendingRanges(ranges);
  let perRequest = session.onlySingleRanges ? 1 : MAX_RANGES;
  let given = false;
  if (perRequest === 1 && ranges.length > MAX_SINGLE_REQUESTS) throw unsupported(session, descriptor);
  while (!pending.isEmpty) {
    const group = pending.next(perRequest);
    const before = pending.bytes;
    try {
      const reply = await session.fetch({
        method: "GET",
        target: blobTarget(descriptor),
        what: `blob ${descriptor.digest}`,
        headers: { Range: rangeHeader(group) },
        accept: [200, 206],
        signal,
      });
      if (reply.status === 200 && !given) {
        await reply.discard();
        throw unsupported(session, descriptor);
      }
      for await (const piece of placedBytes(reply, descriptor)) {
        for (const part of pending.take(piece)) {
          given = true;
          yield part;
        }
      }
      if (pending.bytes === before) {
        throw new RequestError(
          "Network",
          `${reply.url.host}: it sent none of the bytes that were asked for`,
          {
            transient: true,
          },
        );
      }
      attempts.progressed();
    } catch (error) {
      if (isRefusal(error) && group.length > 1 && pending.count <= MAX_SINGLE_REQUESTS) {
        session.onlySingleRanges = true;
        perRequest = 1;
        continue;
      }
      if (isRefusal(error) && !given) throw unsupported(session, descriptor, error);
      if (pending.bytes < before) attempts.progressed();
      await attempts.afterFailure(error);
    }
  }
}

function isRefusal(error: unknown): boolean {
  return (
    (error instanceof CfsError && error.kind === "Unsupported") || REFUSALS.includes(statusOf(error) ?? 0)
  );
}

function unsupported(session: Session, { digest }: Descriptor, cause?: unknown): CfsError {
  return new CfsError("Unsupported", `${session.endpoint.host} can't send parts of blob ${digest}`, {
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The bytes of a reply, each piece with its place in the blob. */
async function* placedBytes(reply: Reply, descriptor: Descriptor): AsyncGenerator<PlacedBytes, void, void> {
  const { digest, size } = descriptor;
  const boundary = reply.status === 206 ? multipartBoundary(reply.headers.get("content-type")) : undefined;
  if (boundary === undefined) {
    const { start, end } = await announced(reply, descriptor);
    let offset = start;
    for await (const bytes of reply.chunks()) {
      if (offset + bytes.length > end)
        throw new RequestError("Corrupt", `${reply.url.host}: blob ${digest}: a part is longer than it says`);
      yield { offset, bytes };
      offset += bytes.length;
    }
    return;
  }
  try {
    for await (const piece of parseMultipart(reply.chunks(), boundary)) {
      if (piece.offset + piece.bytes.length > size)
        throw new RequestError("Corrupt", `${reply.url.host}: blob ${digest} is larger than ${size} bytes`);
      yield piece;
    }
  } catch (error) {
    if (!(error instanceof MultipartError)) throw error;
    throw new RequestError(
      "Network",
      `${reply.url.host}: blob ${digest}: malformed reply: ${error.message}`,
      {
        transient: true,
      },
    );
  }
}

/** What is still missing. A server may send more than it was asked for, or less, but not in another order. */
class PendingRanges {
  readonly #ranges: { offset: number; end: number }[];
  #first = 0;

  constructor(ranges: readonly ByteRange[]) {
    this.#ranges = ranges.map(({ offset, length }) => ({ offset, end: offset + length }));
  }

  get isEmpty(): boolean {
    return this.#first === this.#ranges.length;
  }

  get count(): number {
    return this.#ranges.length - this.#first;
  }

  /** What is missing, for telling progress: it only gets less. */
  get bytes(): number {
    const first = this.#ranges[this.#first];
    return first === undefined ? Number.NEGATIVE_INFINITY : -first.offset;
  }

  /** The next ranges that fit into one request. */
  next(max: number): { offset: number; end: number }[] {
    const group: { offset: number; end: number }[] = [];
    let length = "bytes=".length;
    for (const range of this.#ranges.slice(this.#first, this.#first + max)) {
      length += rangeText(range).length + 1;
      if (group.length > 0 && length > MAX_HEADER) break;
      group.push(range);
    }
    return group;
  }

  /** The parts of a piece that are missing; only the first range can be partly there. */
  *take({ offset, bytes }: PlacedBytes): Generator<PlacedBytes, void, void> {
    const end = offset + bytes.length;
    while (!this.isEmpty) {
      const range = this.#ranges[this.#first]!;
      if (end <= range.offset) return;
      // the bytes in between don't come any more with this reply
      if (offset > range.offset) return;
      const until = Math.min(end, range.end);
      const part = bytes.subarray(range.offset - offset, until - offset);
      const at = range.offset;
      range.offset = until;
      if (until === range.end) this.#first++;
      yield { offset: at, bytes: part };
      if (until === end) return;
    }
  }
}

/** What of some ranges lies at `from` and behind. */
export function rangesFrom(ranges: readonly ByteRange[], from: number): readonly ByteRange[] {
  const first = ranges.findIndex(({ offset, length }) => offset + length > from);
  if (first < 0) return [];
  const { offset, length } = ranges[first]!;
  if (offset >= from) return first === 0 ? ranges : ranges.slice(first);
  return [{ offset: from, length: offset + length - from }, ...ranges.slice(first + 1)];
}

function rangeText({ offset, end }: { offset: number; end: number }): string {
  return `${offset}-${end - 1}`;
}

function rangeHeader(group: readonly { offset: number; end: number }[]): string {
  return `bytes=${group.map(rangeText).join(",")}`;
}

/** @throws CfsError Invalid for ranges that overlap, or that the blob does not have. */
export function checkRanges({ size, digest }: Descriptor, ranges: readonly ByteRange[]): void {
  let end = 0;
  for (const { offset, length } of ranges) {
    if (offset < end || length < 1 || offset + length > size)
      throw new CfsError("Invalid", `blob ${digest}: bytes ${offset}+${length} can't be asked for`);
    end = offset + length;
  }
}
