import { CfsError, describeError, kindOf } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { type OciDigest, verifyDigest } from "../digest.ts";
import { isIndexType, isManifestType } from "../media-types.ts";
import type { ByteRange, PublishedDocument } from "../source.ts";
import { checkBlobSize } from "../source.ts";
import { streamBlob } from "./blob-stream.ts";
import { statusOf } from "./errors.ts";
import { Failures, firstSuccess } from "./failover.ts";
import { DEFAULT_TIMEOUTS, type Timeouts } from "./http.ts";
import { fetchManifest } from "./manifest-request.ts";
import type { PlacedBytes } from "./multipart.ts";
import { hasBlob, mountBlob, putManifest, uploadBlob } from "./push.ts";
import { checkRanges, rangesFrom, streamBlobRanges } from "./ranges.ts";
import { fetchReferrers } from "./referrers.ts";
import { DEFAULT_RETRIES, type RetryListener, type RetryPolicy } from "./retry.ts";
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
  /** Mirrors first, the original last. */
  readonly #sessions: readonly Session[];
  readonly #signal: AbortSignal;
  /** Which gave the manifest: it should have the blobs as well. */
  #preferred: Session | undefined;

  constructor(sessions: readonly Session[], signal: AbortSignal) {
    this.#sessions = sessions;
    this.#signal = signal;
  }

  async manifest(reference: string): Promise<PublishedDocument> {
    return await firstSuccess(this.#inOrder(), async (session) => {
      const document = await fetchManifest(session, reference, this.#signal);
      this.#preferred = session;
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
    return await firstSuccess(this.#inOrder(), async (session) => {
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

  async *stream(
    descriptor: Descriptor,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, void> {
    const failures = new Failures();
    let at = from;
    for (const session of this.#inOrder()) {
      try {
        for await (const chunk of streamBlob(session, descriptor, at, this.#both(signal))) {
          at += chunk.length;
          yield chunk;
        }
        return;
      } catch (error) {
        failures.add(session, error);
      }
    }
    throw failures.combined();
  }

  async *streamRanges(
    descriptor: Descriptor,
    ranges: readonly ByteRange[],
    signal: AbortSignal,
  ): AsyncGenerator<PlacedBytes, void, void> {
    const failures = new Failures();
    checkRanges(descriptor, ranges);
    let at = 0;
    for (const session of this.#inOrder()) {
      try {
        const missing = rangesFrom(ranges, at);
        for await (const piece of streamBlobRanges(session, descriptor, missing, this.#both(signal))) {
          at = piece.offset + piece.bytes.length;
          yield piece;
        }
        return;
      } catch (error) {
        failures.add(session, error);
      }
    }
    const error = failures.combined();
    // "Unsupported" promises that nothing was given
    throw at > 0 && kindOf(error) === "Unsupported"
      ? new CfsError("Network", describeError(error), { hint: "try again later" })
      : error;
  }

  async referrers(subject: OciDigest, artifactType?: string): Promise<readonly Descriptor[]> {
    return await firstSuccess(this.#inOrder(), (session) =>
      fetchReferrers(session, subject, artifactType, this.#signal),
    );
  }

  async hasBlob(digest: OciDigest): Promise<boolean> {
    return await hasBlob(this.#original, digest, this.#signal);
  }

  async mountBlob(digest: OciDigest, fromPath: string): Promise<boolean> {
    return await mountBlob(this.#original, digest, fromPath, this.#signal);
  }

  async uploadBlob(content: UploadContent, onProgress: (bytes: number) => void): Promise<void> {
    await uploadBlob(this.#original, content, onProgress, this.#signal);
  }

  async putManifest(reference: string, bytes: Uint8Array, mediaType: string): Promise<boolean> {
    return await putManifest(this.#original, reference, bytes, mediaType, this.#signal);
  }

  get #original(): Session {
    return this.#sessions.at(-1)!;
  }

  #inOrder(): readonly Session[] {
    const preferred = this.#preferred;
    return preferred === undefined
      ? this.#sessions
      : [preferred, ...this.#sessions.filter((session) => session !== preferred)];
  }

  #both(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#signal]);
  }
}
