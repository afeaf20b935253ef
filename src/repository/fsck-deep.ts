import type { ByteString } from "../bytes.ts";
import { checkCanonical } from "../erofs/canonical.ts";
import { describeError } from "../errors.ts";
import { workTogether } from "../parallel/together.ts";
import type { ObjectId } from "../verity/digest.ts";
import { ObjectStore, type ObjectStoreHandle } from "./objects.ts";
import type { Repository } from "./repository.ts";
import { copyStream, openStreamObject, type StreamHome } from "./streams.ts";

/** Streams of OCI content have the digest of their content in their names. */
const CONTENT_NAME = /^oci-[a-z]+-(sha256|sha384|sha512):([0-9a-f]{64,128})$/;

/** Whether the name of a stream says which content it has. */
export function tellsContent(name: ByteString): boolean {
  return CONTENT_NAME.test(name);
}

/** A stream that can be opened. */
export interface StreamToCheck {
  /** Directly below `streams/`. */
  readonly name: ByteString;
  readonly id: ObjectId;
}

/** A stream whose content is not what it should be. */
export interface WrongStream {
  readonly name: ByteString;
  readonly detail: string;
}

/** `next` holds the number of the next stream that nobody has begun. */
export interface CheckStreamsPayload {
  readonly store: ObjectStoreHandle;
  readonly streams: readonly StreamToCheck[];
  readonly next: SharedArrayBuffer;
}

/** Rebuilds streams and compares size and, where the name tells it, digest, with up to `jobs` threads. */
export async function checkStreamContents(
  { objects }: Repository,
  streams: readonly StreamToCheck[],
  jobs: number,
): Promise<WrongStream[]> {
  const payload: CheckStreamsPayload = { store: objects.handle, streams, next: new SharedArrayBuffer(4) };
  const parts = await workTogether(
    {
      job: "check-streams",
      payload,
      work: (deadlineMs) => checkUntil(payload, deadlineMs),
      left: () => streams.length - Atomics.load(new Int32Array(payload.next), 0),
    },
    jobs,
  );
  return parts.flat();
}

/** The job of a worker thread: checks stream after stream until none is left. */
export function checkStreams(payload: CheckStreamsPayload): WrongStream[] {
  return checkUntil(payload, Number.POSITIVE_INFINITY);
}

/** @param deadlineMs as `performance.now` tells the time. */
function checkUntil({ store, streams, next }: CheckStreamsPayload, deadlineMs: number): WrongStream[] {
  const objects = new ObjectStore(store);
  const counter = new Int32Array(next);
  const wrong: WrongStream[] = [];
  while (performance.now() < deadlineMs) {
    const stream = streams[Atomics.add(counter, 0, 1)];
    if (stream === undefined) break;
    const detail = checkStreamContent({ objects, algorithm: objects.algorithm }, stream);
    if (detail !== undefined) wrong.push({ name: stream.name, detail });
  }
  objects.close();
  return wrong;
}

/** What is wrong with the content of a stream, or undefined. */
export function checkStreamContent(home: StreamHome, { name, id }: StreamToCheck): string | undefined {
  const [, algorithm = "sha256", expected] = CONTENT_NAME.exec(name) ?? [];
  const hasher = new Bun.CryptoHasher(algorithm as Bun.SupportedCryptoAlgorithms);
  try {
    using stream = openStreamObject(home, id);
    copyStream(home, stream.reader, (piece) => void hasher.update(piece as Uint8Array<ArrayBuffer>));
  } catch (error) {
    return describeError(error);
  }
  const found = hasher.digest("hex");
  if (expected === undefined || expected === found) return undefined;
  return `its content has the digest ${algorithm}:${found}`;
}

/** Whether an image is what writing the tree in it gives. What is wrong, or undefined. */
export function checkImageBytes(repository: Repository, bytes: Uint8Array): string | undefined {
  try {
    checkCanonical(bytes, repository.algorithm);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}
