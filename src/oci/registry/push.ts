import { RequestError, requestErrorOf, statusOf } from "../../http/errors.ts";
import type { RequestBody } from "../../http/exchange.ts";
import type { Reply } from "../../http/reply.ts";
import { computeDigest, isDigest, type OciDigest } from "../digest.ts";
import type { Session } from "./session.ts";
import type { UploadContent } from "./types.ts";

/** Up to this size, a blob is sent in the request that also ends the upload. */
const MAX_SINGLE = 1024 * 1024;

/** Size of pieces for servers that don't take a large blob at once; a multiple of what any of them wants. */
const PIECE = 32 * 1024 * 1024;

/** Whether the registry has a blob already. */
export async function hasBlob(session: Session, digest: OciDigest, signal: AbortSignal): Promise<boolean> {
  const reply = await session.request({
    method: "HEAD",
    target: `blobs/${digest}`,
    what: `blob ${digest}`,
    accept: [200, 404],
    signal,
  });
  await reply.discard();
  return reply.status === 200;
}

/** Asks for a blob of another repository of the same registry. @returns false when it can't be had from there. */
export async function mountBlob(
  session: Session,
  digest: OciDigest,
  fromPath: string,
  signal: AbortSignal,
): Promise<boolean> {
  const query = new URLSearchParams({ mount: digest, from: fromPath });
  let reply: Reply;
  try {
    reply = await session.request({
      method: "POST",
      target: `blobs/uploads/?${query}`,
      what: `blob ${digest}`,
      accept: [201, 202],
      otherPaths: [fromPath],
      signal,
    });
  } catch (error) {
    // it is a shortcut only: without permission to read there, the blob is uploaded
    if ([400, 401, 403, 404, 405].includes(statusOf(error) ?? 0)) return false;
    throw error;
  }
  await reply.discard();
  if (reply.status === 201) return true;
  await cancelUpload(session, uploadLocation(reply), signal);
  return false;
}

/**
 * Uploads a blob. What the registry has received stays there when a connection breaks.
 * @param onProgress told how many bytes of the blob were sent until now; after a failure it may be less again.
 * @throws CfsError Permission, Network, Corrupt
 */
export async function uploadBlob(
  session: Session,
  content: UploadContent,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const attempts = session.attempts(signal);
  let upload: Upload | undefined;
  let pieceSize = Number.POSITIVE_INFINITY;
  let best = 0;
  for (;;) {
    try {
      upload ??= await beginUpload(session, content, signal);
      if (content.size <= MAX_SINGLE) {
        await finishUpload(
          session,
          upload.location,
          content,
          contentBody(content, 0, content.size, onProgress),
          signal,
        );
        return;
      }
      while (upload.offset < content.size) {
        const end = Math.min(content.size, upload.offset + pieceSize);
        upload = await sendPiece(session, upload, content, end, onProgress, signal);
      }
      await finishUpload(session, upload.location, content, undefined, signal);
      return;
    } catch (error) {
      if (statusOf(error) === 413 && pieceSize > PIECE && content.size > PIECE) {
        pieceSize = PIECE;
        upload = undefined;
        continue;
      }
      // the registry has lost the upload, or its state is another: a new one is begun
      const lost = upload !== undefined && [404, 416].includes(statusOf(error) ?? 0);
      await attempts.afterFailure(lost ? retried(error) : error);
      upload =
        upload === undefined || lost ? undefined : await resumeUpload(session, upload, content, signal);
      if (upload !== undefined && upload.offset > best) {
        best = upload.offset;
        attempts.progressed();
      }
      onProgress(upload?.offset ?? 0);
    }
  }
}

/** An upload in progress. */
interface Upload {
  readonly location: URL;
  /** Bytes that the registry has. */
  readonly offset: number;
}

function retried(error: unknown): RequestError {
  const { kind, message } = requestErrorOf(error)!;
  return new RequestError(kind, message, { transient: true });
}

async function beginUpload(
  session: Session,
  { digest }: UploadContent,
  signal: AbortSignal,
): Promise<Upload> {
  const reply = await session.fetch({
    method: "POST",
    target: "blobs/uploads/",
    what: `blob ${digest}`,
    accept: [202],
    signal,
  });
  await reply.discard();
  return { location: uploadLocation(reply), offset: 0 };
}

async function sendPiece(
  session: Session,
  { location, offset }: Upload,
  content: UploadContent,
  end: number,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Upload> {
  const whole = offset === 0 && end === content.size;
  const reply = await session.fetch({
    method: "PATCH",
    target: location,
    what: `blob ${content.digest}`,
    headers: {
      "Content-Type": "application/octet-stream",
      ...(whole ? {} : { "Content-Range": `${offset}-${end - 1}` }),
    },
    body: contentBody(content, offset, end, onProgress),
    accept: [201, 202, 204],
    slow: true,
    signal,
  });
  await reply.discard();
  return { location: uploadLocation(reply), offset: end };
}

/** @param body the whole blob, when nothing of it was sent yet. */
async function finishUpload(
  session: Session,
  location: URL,
  { digest }: UploadContent,
  body: RequestBody | undefined,
  signal: AbortSignal,
): Promise<void> {
  const target = new URL(location);
  target.searchParams.append("digest", digest);
  const reply = await session.fetch({
    method: "PUT",
    target,
    what: `blob ${digest}`,
    headers: { "Content-Type": "application/octet-stream" },
    body: body ?? EMPTY,
    accept: [201, 202, 204],
    slow: true,
    signal,
  });
  await reply.discard();
  checkStored(reply, digest);
}

/** What the registry has of an upload; undefined when it doesn't say, and has to be given everything again. */
async function resumeUpload(
  session: Session,
  { location }: Upload,
  { size, digest }: UploadContent,
  signal: AbortSignal,
): Promise<Upload | undefined> {
  try {
    const reply = await session.fetch({
      method: "GET",
      target: location,
      what: `upload of blob ${digest}`,
      accept: [202, 204],
      signal,
    });
    await reply.discard();
    const range = /^(?:bytes=)?0-(\d{1,15})$/.exec(reply.headers.get("range") ?? "");
    if (range === null) return undefined;
    const last = Number(range[1]);
    // an upload without a single byte is reported as 0-0 too
    const offset = last === 0 ? 0 : last + 1;
    if (offset === 0 || offset > size) return undefined;
    return { location: reply.headers.has("location") ? uploadLocation(reply) : location, offset };
  } catch (error) {
    if (requestErrorOf(error) === undefined) throw error;
    return undefined;
  }
}

/** The registry forgets unfinished uploads sooner or later: it doesn't matter whether it does so at once. */
async function cancelUpload(session: Session, location: URL, signal: AbortSignal): Promise<void> {
  try {
    const reply = await session.fetch({
      method: "DELETE",
      target: location,
      what: "upload",
      accept: [200, 202, 204, 404, 405],
      signal,
    });
    await reply.discard();
  } catch (error) {
    if (requestErrorOf(error) === undefined) throw error;
  }
}

function uploadLocation(reply: Reply): URL {
  const location = reply.headers.get("location");
  const target = location === null ? null : URL.parse(location, reply.url.href);
  if (target === null || (target.protocol !== "https:" && target.protocol !== "http:"))
    throw new RequestError("Network", `${reply.url.host} doesn't say where to upload to`);
  if (target.protocol === "http:" && reply.url.protocol === "https:") {
    // registries behind a proxy may not know that they are spoken to through TLS
    if (target.hostname !== reply.url.hostname) {
      throw new RequestError(
        "Network",
        `${reply.url.host} wants an upload to go to ${target.host} without encryption, which is refused`,
      );
    }
    target.protocol = "https:";
    target.port = reply.url.port;
  }
  target.username = "";
  target.password = "";
  return target;
}

const EMPTY: RequestBody = { size: 0, chunks: async function* () {} };

function contentBody(
  content: UploadContent,
  from: number,
  end: number,
  onProgress: (bytes: number) => void,
): RequestBody {
  return {
    size: end - from,
    chunks: async function* () {
      let at = from;
      for await (const chunk of content.read(from)) {
        const part = chunk.subarray(0, end - at);
        if (part.length > 0) yield part;
        at += part.length;
        onProgress(at);
        if (at === end) return;
      }
      if (at < end) throw new RequestError("Corrupt", `blob ${content.digest} ends after ${at} bytes`);
    },
  };
}

/** @throws CfsError Corrupt when the registry has something else than it was given. */
function checkStored(reply: Reply, digest: OciDigest): void {
  const stored = reply.headers.get("docker-content-digest");
  if (stored === null || stored === digest || !isDigest(stored) || !sameAlgorithm(stored, digest)) return;
  throw new RequestError("Corrupt", `${reply.url.host} stored ${digest} as ${stored}`, {
    hint: "something on the way to the registry changes what is sent",
    data: { expected: digest, found: stored },
  });
}

function sameAlgorithm(a: OciDigest, b: OciDigest): boolean {
  return a.slice(0, a.indexOf(":")) === b.slice(0, b.indexOf(":"));
}

/**
 * Stores a manifest under a tag or its digest.
 * @returns whether the registry keeps track of the manifest's `subject` by itself (`OCI-Subject`).
 */
export async function putManifest(
  session: Session,
  reference: string,
  bytes: Uint8Array,
  mediaType: string,
  signal: AbortSignal,
): Promise<boolean> {
  const reply = await session.request({
    method: "PUT",
    target: `manifests/${reference}`,
    what: `manifest ${reference}`,
    headers: { "Content-Type": mediaType },
    body: {
      size: bytes.length,
      chunks: async function* () {
        yield bytes;
      },
    },
    accept: [200, 201, 202, 204],
    slow: true,
    signal,
  });
  await reply.discard();
  checkStored(reply, computeDigest(bytes));
  return reply.headers.has("oci-subject");
}
