import { CfsError } from "../errors.ts";
import type { HttpClient } from "./client.ts";
import { authorization } from "./connections.ts";
import { printable, RequestError, requestErrorOf } from "./errors.ts";
import { publicUrl, urlWithin } from "./file-url.ts";
import type { Reply } from "./reply.ts";
import { Attempts, parseRetryAfter, type RetryListener, type RetryPolicy } from "./retry.ts";

export interface FetcherOptions {
  readonly client: HttpClient;
  /** Of each mirror; at least one. What one does not give is asked of the next. */
  readonly mirrors: readonly URL[];
  readonly retries: RetryPolicy;
  /** Ends everything under way. */
  readonly signal: AbortSignal;
  readonly onRetry?: RetryListener | undefined;
  /** Sent to the mirrors with each request, but not to where they redirect to. */
  readonly privateHeaders?: Readonly<Record<string, string>> | undefined;
}

export interface FetchRequest {
  /** Below the URL of the mirror, not percent-encoded; undefined for what the URL itself names. */
  readonly path: string | undefined;
  /** For messages: `the commit 12ab…`. */
  readonly what: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Statuses besides 200 that are an answer. */
  readonly accept?: readonly number[];
  /** Instead of the fetcher's. */
  readonly signal?: AbortSignal;
  /** Instead of the fetcher's. */
  readonly retries?: RetryPolicy;
}

/** Reads files below a URL, or the same below the URLs of mirrors. */
export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #headers: readonly Readonly<Record<string, string>>[];
  readonly #urls: readonly URL[];
  /** The mirror that gave the last answer. */
  #preferred = 0;

  constructor(options: FetcherOptions) {
    this.#options = options;
    this.#headers = options.mirrors.map(requestHeaders);
    this.#urls = options.mirrors.map(withoutUser);
  }

  /** Of the first mirror: for messages, and as a name. */
  get url(): URL {
    return this.#urls[0]!;
  }

  /**
   * Does something with the reply to a request; does it again with another one when the connection breaks.
   * @param take reads the body, or discards it.
   * @throws CfsError NotFound, Permission, Network, Cancelled
   */
  fetch<T>(request: FetchRequest, take: (reply: Reply) => Promise<T>): Promise<T> {
    const signal = request.signal ?? this.#options.signal;
    return this.attempts(signal, request.retries).run(() => this.#fromAnyMirror(request, signal, take));
  }

  /** Counts failures of something that takes several requests. */
  attempts(signal = this.#options.signal, retries = this.#options.retries): Attempts {
    return new Attempts(retries, signal, this.#options.onRetry);
  }

  /** The whole of a file. @throws CfsError also Invalid when it has more than `max` bytes */
  bytes(request: FetchRequest, max: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.fetch(request, (reply) => reply.bytes(max, request.what));
  }

  async #fromAnyMirror<T>(
    request: FetchRequest,
    signal: AbortSignal,
    take: (reply: Reply) => Promise<T>,
  ): Promise<T> {
    const first = this.#preferred;
    let failure: unknown;
    for (let i = 0; i < this.#urls.length; i++) {
      const index = (first + i) % this.#urls.length;
      try {
        const result = await this.#once(index, request, signal, take);
        this.#preferred = index;
        return result;
      } catch (error) {
        if (signal.aborted || !(error instanceof CfsError)) throw error;
        if (failure === undefined || isTransient(error)) failure = error;
      }
    }
    throw failure;
  }

  async #once<T>(
    index: number,
    { path, what, headers, accept }: FetchRequest,
    signal: AbortSignal,
    take: (reply: Reply) => Promise<T>,
  ): Promise<T> {
    const base = this.#urls[index]!;
    const { privateHeaders } = this.#options;
    const url = path === undefined ? base : urlWithin(base, path);
    const reply = await this.#options.client.send({
      method: "GET",
      url,
      headers: { ...this.#headers[index], ...headers },
      ...(privateHeaders !== undefined && { privateHeaders }),
      signal,
    });
    if (reply.status === 200 || accept?.includes(reply.status)) {
      try {
        return await take(reply);
      } catch (error) {
        reply.leave();
        throw error;
      }
    }
    await reply.discard();
    throw statusError(reply, url, what);
  }
}

function isTransient(error: CfsError): boolean {
  return requestErrorOf(error)?.transient === true;
}

/** Which replies are worth another attempt (RFC 9110). */
function mayPass(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

function statusError({ status, headers }: Reply, url: URL, what: string): RequestError {
  const where = printable(publicUrl(url));
  if (status === 404 || status === 410) {
    return new RequestError("NotFound", `${what} is not there: HTTP status ${status} for ${where}`, {
      status,
    });
  }
  if (status === 401 || status === 403) {
    return new RequestError("Permission", `access to ${what} is denied: HTTP status ${status} for ${where}`, {
      status,
      hint: "a user and password can be part of the URL; some servers say this of files that they don't have",
    });
  }
  const transient = mayPass(status);
  const retryAfter = transient ? parseRetryAfter(headers.get("retry-after")) : undefined;
  return new RequestError("Network", `${what} can't be fetched: HTTP status ${status} for ${where}`, {
    status,
    transient,
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(transient ? { hint: "try again later; what was fetched is not fetched again" } : {}),
  });
}

function requestHeaders(mirror: URL): Record<string, string> {
  // as the files are stored: checksums are of these bytes
  const headers = { Accept: "*/*", "Accept-Encoding": "identity" };
  return { ...headers, ...authorization("Authorization", mirror) };
}

function withoutUser(url: URL): URL {
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  return bare;
}
