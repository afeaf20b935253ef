import { S3Client } from "bun";
import { CfsError } from "../../errors.ts";
import { printable, RequestError } from "../../http/errors.ts";
import { Attempts, DEFAULT_RETRIES, type RetryListener, type RetryPolicy } from "../../http/retry.ts";

/** Where a bucket is, and who asks. */
export interface BucketAddress {
  readonly bucket: string;
  /** Of keys: empty, or with a slash at its end. */
  readonly prefix: string;
  /** URL of the service; that of Amazon for the region unless given. */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
}

/** An object of a bucket, by its key without the prefix. */
export interface BucketEntry {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Without quotes; the MD5 of the content for what was uploaded in one piece, as a rule. */
  readonly etag: string;
}

export interface BucketOptions {
  readonly retries?: RetryPolicy;
  readonly onRetry?: RetryListener | undefined;
}

/** The most parts that an upload may have (Amazon S3 user guide, "multipart upload limits"). */
const MAX_PARTS = 10_000;
const FIRST_ATTEMPTS = 3;
const PART_SIZE = 8 * 1024 * 1024;
/** Parts of an object under way at a time; as many more are held in memory. */
const QUEUE = 2;

/** A bucket of a service with the interface of Amazon S3, or a part of one. */
export class Bucket {
  readonly label: string;
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #retries: RetryPolicy;
  readonly #onRetry: RetryListener | undefined;
  readonly #abort = new AbortController();

  constructor(address: BucketAddress, { retries = DEFAULT_RETRIES, onRetry }: BucketOptions = {}) {
    const { bucket, prefix, endpoint, region, accessKeyId, secretAccessKey, sessionToken } = address;
    this.label = `s3://${bucket}/${prefix}`.replace(/\/$/, "");
    this.#prefix = prefix;
    this.#retries = retries;
    this.#onRetry = onRetry;
    this.#client = new S3Client({
      bucket,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      ...(endpoint !== undefined && { endpoint }),
      ...(region !== undefined && { region }),
    });
  }

  /** Makes what is waiting for another attempt give up. */
  abort(): void {
    this.#abort.abort();
  }

  /** All keys, in the order of the service. @throws CfsError NotFound, Permission, Network */
  async *entries(): AsyncGenerator<BucketEntry, void, void> {
    for (let token: string | undefined; ; ) {
      const from = token === undefined ? {} : { continuationToken: token };
      const page = await this.#attempt("its list of objects", () =>
        this.#client.list({ prefix: this.#prefix, ...from }),
      );
      for (const { key, size, eTag } of page.contents ?? [])
        yield {
          key: key.slice(this.#prefix.length),
          size: size ?? -1,
          etag: (eTag ?? "").replaceAll('"', ""),
        };
      if (page.isTruncated !== true) return;
      token = page.nextContinuationToken;
      if (token === undefined)
        throw new CfsError(
          "Network",
          `${this.label}: its list of objects is cut off, and can't be gone on with`,
        );
    }
  }

  /** Content of an object; undefined when there is none. @throws CfsError as above; Invalid when it is too large */
  async get(key: string, max: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const file = this.#client.file(this.#prefix + key);
    const read = async () => {
      try {
        const { size } = await file.stat();
        if (size > max) throw new CfsError("Invalid", `${this.label}: ${key} is larger than ${max} bytes`);
        return await file.bytes();
      } catch (error) {
        const code = codeOf(error);
        if (code === "NoSuchKey" || code === "NotFound") return undefined;
        throw error;
      }
    };
    // It comes first: nothing is lost yet when the service can't be reached.
    const attempts = Math.min(FIRST_ATTEMPTS, this.#retries.attempts);
    return this.#attempt(key, read, { ...this.#retries, attempts });
  }

  /** Uploads something small. @throws CfsError as above */
  async put(key: string, bytes: Uint8Array, type: string): Promise<void> {
    await this.#attempt(key, () => this.#client.write(this.#prefix + key, bytes, { type }));
  }

  /**
   * Uploads something large, in parts: it appears when all have arrived.
   * @param pieces gives its `size` bytes, anew for each attempt.
   */
  async putLarge(
    key: string,
    size: number,
    pieces: () => Iterable<Uint8Array<ArrayBuffer>>,
    type: string,
  ): Promise<void> {
    const partSize = Math.max(PART_SIZE, Math.ceil(size / MAX_PARTS));
    await this.#attempt(key, async () => {
      const writer = this.#client
        .file(this.#prefix + key)
        .writer({ partSize, queueSize: QUEUE, retry: 3, type });
      for (const piece of pieces()) {
        writer.write(piece);
        await writer.flush();
      }
      await writer.end();
    });
  }

  /** @throws CfsError as above */
  async remove(key: string): Promise<void> {
    await this.#attempt(key, () => this.#client.delete(this.#prefix + key));
  }

  async #attempt<T>(what: string, action: () => Promise<T>, retries = this.#retries): Promise<T> {
    const attempts = new Attempts(retries, this.#abort.signal, this.#onRetry);
    return attempts.run(async () => {
      try {
        return await action();
      } catch (error) {
        throw error instanceof CfsError ? error : this.#failure(what, error);
      }
    });
  }

  /** What the service said, and nothing of the request: that would be signed. */
  #failure(what: string, error: unknown): CfsError {
    const code = codeOf(error);
    const said = printable(error instanceof Error ? error.message : String(error));
    const why = CONNECTION_ERRORS.get(code) ?? (code === "" ? said : `${code}: ${said}`);
    const message = `${this.label}: ${what}: ${why}`;
    if (REFUSED.has(code))
      return new RequestError("Permission", message, {
        hint: "check the credentials, the region, and what they may do with this bucket",
      });
    if (code === "NoSuchBucket")
      return new RequestError("NotFound", message, { hint: "create the bucket first" });
    const transient = TRANSIENT.has(code);
    return new RequestError("Network", message, {
      transient,
      ...(transient && { hint: "check the network and the endpoint, or try again later" }),
    });
  }
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

const REFUSED: ReadonlySet<string> = new Set([
  "AccessDenied",
  "AuthorizationHeaderMalformed",
  "ExpiredToken",
  "InvalidAccessKeyId",
  "InvalidToken",
  "PermanentRedirect",
  "RequestTimeTooSkewed",
  "SignatureDoesNotMatch",
]);

/** What Bun's client calls these, it describes as unexpected errors. */
const CONNECTION_ERRORS: ReadonlyMap<string, string> = new Map([
  ["ConnectionClosed", "the connection was closed unexpectedly"],
  ["ConnectionRefused", "connection refused"],
  ["ConnectionReset", "the connection was closed unexpectedly"],
  ["FailedToOpenSocket", "the host can't be reached"],
  ["Timeout", "the connection timed out"],
]);

/** Error codes of services, and of connections to them, after which the same request may succeed. */
const TRANSIENT: ReadonlySet<string> = new Set([
  "ConnectionClosed",
  "ConnectionRefused",
  "ConnectionReset",
  "ECONNREFUSED",
  "ECONNRESET",
  "FailedToOpenSocket",
  "InternalError",
  "OperationAborted",
  "RequestTimeout",
  "ServiceUnavailable",
  "SlowDown",
  "Timeout",
  "UnknownError",
]);
