import { CfsError, describeError, kindOf } from "../../errors.ts";
import { DEFAULT_TIMEOUTS, type Timeouts } from "../../http/client.ts";
import { statusOf } from "../../http/errors.ts";
import { DEFAULT_RETRIES, type RetryListener, type RetryPolicy } from "../../http/retry.ts";
import type { Descriptor } from "../descriptor.ts";
import { type OciDigest, verifyDigest } from "../digest.ts";
import { isIndexType, isManifestType } from "../media-types.ts";
import type { ByteRange, PublishedDocument } from "../source.ts";
import { checkBlobSize } from "../source.ts";
import { streamBlob } from "./blob-stream.ts";
import { Places } from "./failover.ts";
import { fetchManifest } from "./manifest-request.ts";
import type { PlacedBytes } from "./multipart.ts";
import { hasBlob, mountBlob, putManifest, uploadBlob } from "./push.ts";
import { checkRanges, rangesFrom, streamBlobRanges } from "./ranges.ts";
import { fetchReferrers } from "./referrers.ts";
import { Session } from "./session.ts";
import type {
  DockerReference,
  RegistryAccess,
  RegistryConfiguration,
  RegistryRepository,
  UploadContent,
} from "./types.ts";

export interface ClientOptions {
  /** What is going to be done; `pull` by default. Mirrors are only read from. */
  readonly access?: RegistryAccess;
  readonly retries?: RetryPolicy;
  readonly timeouts?: Timeouts;
  /** Told before each pause after a failure. */
  readonly onRetry?: RetryListener;
  /** Ends whatever is going on. */
  readonly signal?: AbortSignal;
}

/**
 * A repository in a registry, and in its mirrors if there are any. Nothing is sent yet.
 * @throws CfsError Permission when the configuration blocks it
 */
export function openRegistryRepository(
  reference: DockerReference,
  configuration: RegistryConfiguration,
  options: ClientOptions = {},
): RegistryRepository {
  const { access = "pull", retries = DEFAULT_RETRIES, timeouts = DEFAULT_TIMEOUTS, onRetry } = options;
  const endpoints = configuration.endpoints(reference, access);
  const action = access === "push" ? "pull,push" : "pull";
  return new RegistryClient(
    endpoints.map((endpoint) => new Session(endpoint, configuration, { action, retries, timeouts, onRetry })),
    options.signal ?? new AbortController().signal,
  );
}

class RegistryClient implements RegistryRepository {
  readonly #places: Places;
  readonly #signal: AbortSignal;
  #found = false;

  constructor(sessions: readonly Session[], signal: AbortSignal) {
    this.#places = new Places(sessions);
    this.#signal = signal;
  }

  async manifest(reference: string): Promise<PublishedDocument> {
    return await this.#places.firstSuccess(async (session) => {
      const document = await fetchManifest(session, reference, this.#signal);
      // where the image's manifest is, its blobs should be as well
      if (!this.#found) this.#places.prefer(session);
      this.#found = true;
      return document;
    });
  }

  async manifestByTag(tag: string): Promise<PublishedDocument | undefined> {
    try {
      return await this.manifest(tag);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    const { size, digest, mediaType } = descriptor;
    if (size > max)
      throw new CfsError("Invalid", `${what} ${digest} has ${size} bytes; at most ${max} are read`);
    if (isManifestType(mediaType) || isIndexType(mediaType)) {
      const { bytes } = await this.manifest(digest);
      checkBlobSize(descriptor, bytes.length);
      return bytes;
    }
    return await this.#places.firstSuccess(async (session) => {
      const bytes = new Uint8Array(size);
      let at = 0;
      for await (const chunk of streamBlob(session, descriptor, 0, this.#signal)) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      verifyDigest(bytes, digest, what);
      return bytes;
    });
  }

  stream(descriptor: Descriptor, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    let at = from;
    const both = this.#both(signal);
    return this.#places.stream(async function* (session) {
      for await (const chunk of streamBlob(session, descriptor, at, both)) {
        at += chunk.length;
        yield chunk;
      }
    });
  }

  async *streamRanges(
    descriptor: Descriptor,
    ranges: readonly ByteRange[],
    signal: AbortSignal,
  ): AsyncGenerator<PlacedBytes, void, void> {
    checkRanges(descriptor, ranges);
    let at = 0;
    const both = this.#both(signal);
    const pieces = this.#places.stream(async function* (session) {
      const missing = rangesFrom(ranges, at);
      for await (const piece of streamBlobRanges(session, descriptor, missing, both)) {
        at = piece.offset + piece.bytes.length;
        yield piece;
      }
    });
    try {
      yield* pieces;
    } catch (error) {
      // "Unsupported" promises that nothing was given
      throw at > 0 && kindOf(error) === "Unsupported"
        ? new CfsError("Network", describeError(error), { hint: "try again later" })
        : error;
    }
  }

  async referrers(subject: OciDigest, artifactType?: string): Promise<readonly Descriptor[]> {
    return await this.#places.firstSuccess((session) =>
      fetchReferrers(session, subject, artifactType, this.#signal),
    );
  }

  async hasBlob(digest: OciDigest): Promise<boolean> {
    return await hasBlob(this.#places.original, digest, this.#signal);
  }

  async mountBlob(digest: OciDigest, fromPath: string): Promise<boolean> {
    return await mountBlob(this.#places.original, digest, fromPath, this.#signal);
  }

  async uploadBlob(content: UploadContent, onProgress: (bytes: number) => void): Promise<void> {
    await uploadBlob(this.#places.original, content, onProgress, this.#signal);
  }

  async putManifest(reference: string, bytes: Uint8Array, mediaType: string): Promise<boolean> {
    return await putManifest(this.#places.original, reference, bytes, mediaType, this.#signal);
  }

  #both(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#signal]);
  }
}
