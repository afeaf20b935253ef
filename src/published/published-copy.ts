import { CfsError, withContext } from "../errors.ts";
import { DEFAULT_TIMEOUTS, HttpClient, type Timeouts } from "../http/client.ts";
import { Fetcher } from "../http/fetcher.ts";
import { parseHttpUrl, publicUrl } from "../http/file-url.ts";
import { DEFAULT_RETRIES, type RetryListener, type RetryPolicy } from "../http/retry.ts";
import type { Repository } from "../repository/repository.ts";
import type { ObjectId } from "../verity/digest.ts";
import { type ConnectionOptions, connectionSettings } from "./connection.ts";
import { type PublishedIndex, parseIndex } from "./index-format.ts";
import { INDEX_NAME } from "./layout.ts";
import { type DownloadedObject, type DownloadOptions, downloadObject } from "./object-download.ts";

export interface CopyOptions {
  readonly connection?: ConnectionOptions;
  readonly retries?: RetryPolicy;
  readonly timeouts?: Timeouts;
  readonly onRetry?: RetryListener | undefined;
}

/** Of the first request: nothing is lost yet when the server can't be reached. */
const FIRST_ATTEMPTS = 3;
export const MAX_INDEX_SIZE = 256 * 1024 * 1024;

/** A copy of a repository on a web server: one made by `publish`, or just a repository's files. */
export class PublishedCopy implements Disposable {
  /** For messages: without user and password. */
  readonly label: string;
  readonly fetcher: Fetcher;
  readonly #abort = new AbortController();
  readonly #firstRetries: RetryPolicy;

  /**
   * Nothing is fetched yet.
   * @param url of its directory.
   * @throws CfsError Invalid; Io when certificates can't be read
   */
  constructor(url: URL, options: CopyOptions = {}) {
    const { connection = {}, retries = DEFAULT_RETRIES, timeouts = DEFAULT_TIMEOUTS, onRetry } = options;
    const settings = connectionSettings(connection);
    const client = new HttpClient(settings, timeouts, connection.insecure ?? false, new Map());
    this.label = publicUrl(url);
    this.#firstRetries = { ...retries, attempts: Math.min(FIRST_ATTEMPTS, retries.attempts) };
    this.fetcher = new Fetcher({ client, mirrors: [url], retries, signal: this.#abort.signal, onRetry });
  }

  /**
   * What it holds, by its index; undefined when it has none.
   * @throws CfsError Corrupt, Unsupported, Network, Permission
   */
  async index(): Promise<PublishedIndex | undefined> {
    let bytes: Uint8Array;
    try {
      const request = { path: INDEX_NAME, what: "the index", retries: this.#firstRetries };
      bytes = await this.fetcher.bytes(request, MAX_INDEX_SIZE);
    } catch (error) {
      if (error instanceof CfsError && error.kind === "NotFound") return undefined;
      throw withContext(this.label, error);
    }
    try {
      return parseIndex(bytes);
    } catch (error) {
      throw withContext(this.label, error);
    }
  }

  /**
   * Brings an object into a repository of the same algorithm, verified.
   * @throws CfsError NotFound, Corrupt, Network, Permission, Cancelled, naming the object
   */
  fetchObject(repository: Repository, id: ObjectId, options?: DownloadOptions): Promise<DownloadedObject> {
    return downloadObject(this.fetcher, repository, id, options);
  }

  /** Ends what is under way; nothing can be fetched any more. */
  abort(): void {
    this.#abort.abort();
  }

  [Symbol.dispose](): void {
    this.abort();
  }
}

/**
 * The URL of a copy.
 * @throws CfsError Invalid
 */
export function parseCopyUrl(text: string): URL {
  return parseHttpUrl(text, "the URL is not the http or https URL of a published repository");
}
