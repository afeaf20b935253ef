import { type Delivery, type HttpAnswer, type HttpRequest, startHttpServer } from "./http-server.ts";
import { Gate, type RegistryAuth } from "./registry-auth.ts";
import { RegistryContent } from "./registry-content.ts";
import { type BlobAnswer, RegistryService } from "./registry-service.ts";

/**
 * A registry (OCI distribution specification 1.1) in the process of the test, which can be told to fail:
 *
 *     await using registry = await startRegistry({ auth: { scheme: "basic", username: "u", password: "p" } });
 *     registry.content.addLayout("team/app", layout);
 *     registry.fault("/v2/team/app/blobs/", { cutAfter: 5000 }, { times: 2 });
 *     … pull from `docker://${registry.host}/team/app:TAG` …
 *     expect(registry.sent(layer.digest)).toEqual([[0, 5000], [5000, 10000], [10000, layer.size]]);
 *
 * Programs that use it have to run beside the test (`runCfsctl`, `Bun.spawn`), since it answers from the test's own thread.
 */
export interface RegistryOptions {
  /** With the certificate of the test authority (`CERTIFICATES.ca`); plain HTTP otherwise. */
  readonly tls?: boolean;
  /** Clients need a certificate of the test authority; with `tls`. */
  readonly clientCertificate?: boolean;
  readonly auth?: RegistryAuth;
  /** Share what another registry has: mirrors, storage behind redirects. */
  readonly content?: RegistryContent;
  /** Blobs are not sent, but redirected to this registry's /storage/DIGEST, which lets everybody in. */
  readonly redirectBlobs?: TestRegistry;
  /** How ranges of blobs are answered; "single": of several, the whole blob is sent. "all" by default. */
  readonly ranges?: "all" | "single" | "none";
  /** Whether the registry lists referrers; true by default. */
  readonly referrersApi?: boolean;
  /** Whether blobs of other repositories can be mounted; true by default. */
  readonly mounts?: boolean;
  /** Name or address in `host`; 127.0.0.1 by default, localhost is another origin. */
  readonly name?: string;
}

/** What goes wrong with one request. Without `status`, the registry does its work first and then spoils the answer. */
export interface Fault extends Delivery {
  /** Closes the connection instead of answering. */
  readonly refuse?: boolean;
  /** Waits before it answers. */
  readonly delayMs?: number;
  /** Answers with this status instead of doing anything. */
  readonly status?: number;
  /** Added to the answer's headers, or changed; null removes. Names as in the answer: "Content-Type". */
  readonly headers?: Readonly<Record<string, string | null>>;
  /** Sent instead of the answer's own body. */
  readonly body?: Uint8Array | string;
  /** Inverts the byte at this offset of what is sent. */
  readonly corruptAt?: number;
  /** Appends so many zeros; Content-Length counts them unless `contentLength` says otherwise. */
  readonly extraBytes?: number;
  /** Answers with the whole blob where a range was asked for. */
  readonly ignoreRange?: boolean;
  /** Breaks the connection when so many bytes of the request's body have come; they count as received. */
  readonly cutUploadAfter?: number;
}

/** Which of the requests that match a fault it hits. */
export interface FaultTurns {
  readonly method?: string;
  /** Number of the first one, from 1. */
  readonly from?: number;
  /** How many; 1 by default, Infinity for all from then on. */
  readonly times?: number;
}

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  /** Of the answer; 0 while there is none. */
  readonly status: number;
  /** Bytes of the answer's body that were sent. */
  readonly sent: number;
  /** Bytes of the request's body that came. */
  readonly received: number;
  /** When it came, `performance.now()`. */
  readonly time: number;
}

export interface TestRegistry extends Disposable, AsyncDisposable {
  /** `ADDRESS:PORT`, as in image references. */
  readonly host: string;
  readonly port: number;
  /** `http://…` or `https://…`, without a slash at the end. */
  readonly url: string;
  readonly content: RegistryContent;
  /** In the order in which they came. */
  readonly requests: readonly RecordedRequest[];
  /** Tokens that were given out. */
  readonly tokensIssued: number;
  readonly peakConnections: number;
  /** @param path text that the path begins with, or an expression that it matches; without the query. */
  fault(path: string | RegExp, fault: Fault, turns?: FaultTurns): void;
  clearFaults(): void;
  revokeTokens(): void;
  /** Forgets the recorded requests. */
  clearRequests(): void;
  /** Requests whose path contains the text. */
  requestsTo(path: string): RecordedRequest[];
  /** The parts [from, to) of a blob that were sent, in the order of their requests. */
  sent(digest: string): (readonly [from: number, to: number])[];
  /** Bytes of a blob that were sent, and how many of them more than once. */
  traffic(digest: string): { readonly bytes: number; readonly twice: number };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Rule {
  readonly matches: (method: string, path: string) => boolean;
  readonly fault: Fault;
  readonly from: number;
  readonly to: number;
  seen: number;
}

interface Part {
  readonly from: number;
  /** Bytes that were sent of it. */
  length: number;
}

export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const content = options.content ?? new RegistryContent();
  const gate = new Gate(options.auth);
  const requests: Mutable<RecordedRequest>[] = [];
  const sentParts = new Map<string, Part[]>();
  let rules: Rule[] = [];
  const faultFor = (method: string, path: string): Fault => {
    const hits = rules.filter((rule) => rule.matches(method, path) && ++rule.seen);
    return hits.find(({ seen, from, to }) => seen >= from && seen < to)?.fault ?? {};
  };

  const handle = async (request: HttpRequest): Promise<HttpAnswer> => {
    const { pathname: path, searchParams: query } = new URL(request.target, "http://any");
    const { method, headers } = request;
    const record = { method, path, query, headers, status: 0, sent: 0, received: 0, time: performance.now() };
    requests.push(record);
    const fault = faultFor(method, decodeURIComponent(path));
    if (fault.delayMs !== undefined) await Bun.sleep(fault.delayMs);
    if (fault.refuse) request.drop();
    const body = counted(request, record, fault.cutUploadAfter);
    if (fault.ignoreRange) headers.delete("range");
    const answer: BlobAnswer =
      fault.status !== undefined
        ? { status: fault.status }
        : await service.answer({ method, path: decodeURIComponent(path), query, headers, body });
    record.status = fault.status ?? answer.status;
    return spoil(answer, fault, record);
  };

  /** Applies a fault, and counts what is sent. */
  const spoil = (answer: BlobAnswer, fault: Fault, record: Mutable<RecordedRequest>): HttpAnswer => {
    const { corruptAt, extraBytes = 0 } = fault;
    let body = fault.body === undefined ? answer.body : Buffer.from(fault.body);
    if (corruptAt !== undefined || extraBytes > 0) {
      body = Buffer.concat([body ?? new Uint8Array(0), new Uint8Array(extraBytes)]);
      if (corruptAt !== undefined) body[corruptAt]! ^= 0xff;
    }
    const headers: Record<string, string> = { ...answer.headers };
    for (const [name, value] of Object.entries(fault.headers ?? {})) {
      if (value === null) delete headers[name];
      else headers[name] = value;
    }
    const parts = answer.blob?.parts.map(({ from }): Part => ({ from, length: 0 })) ?? [];
    if (answer.blob !== undefined && record.method === "GET") {
      const { digest } = answer.blob;
      sentParts.set(digest, [...(sentParts.get(digest) ?? []), ...parts]);
    }
    return {
      status: answer.status,
      headers,
      ...(body !== undefined && { body }),
      delivery: fault,
      onSent: (bytes) => {
        record.sent += bytes;
        answer.blob?.parts.forEach(({ at, length }, i) => {
          parts[i]!.length = Math.max(0, Math.min(length, record.sent - at));
        });
      },
    };
  };

  const server = await startHttpServer(handle, options);
  const host = `${options.name ?? "127.0.0.1"}:${server.port}`;
  const url = `${options.tls ? "https" : "http"}://${host}`;
  const service = new RegistryService(content, gate, url, {
    ranges: options.ranges ?? "all",
    listsReferrers: options.referrersApi ?? true,
    mounts: options.mounts ?? true,
    storage: options.redirectBlobs && `${options.redirectBlobs.url}/storage`,
  });
  const sent = (digest: string) =>
    (sentParts.get(digest) ?? [])
      .filter(({ length }) => length > 0)
      .map(({ from, length }) => [from, from + length] as const);

  return {
    host,
    port: server.port,
    url,
    content,
    requests,
    get tokensIssued() {
      return gate.issued;
    },
    get peakConnections() {
      return server.peakConnections;
    },
    fault(path, fault, { method, from = 1, times = 1 } = {}) {
      const fits = (found: string) => (typeof path === "string" ? found.startsWith(path) : path.test(found));
      rules.push({
        matches: (usedMethod, found) => (method ?? usedMethod) === usedMethod && fits(found),
        fault,
        from,
        to: from + times,
        seen: 0,
      });
    },
    clearFaults() {
      rules = [];
    },
    revokeTokens: () => gate.revokeTokens(),
    clearRequests() {
      requests.length = 0;
      sentParts.clear();
    },
    requestsTo: (path) => requests.filter((request) => decodeURIComponent(request.path).includes(path)),
    sent,
    traffic(digest) {
      const parts = sent(digest).sort(([a], [b]) => a - b);
      let [bytes, twice, reached] = [0, 0, 0];
      for (const [from, to] of parts) {
        bytes += to - from;
        twice += Math.max(0, Math.min(to, reached) - from);
        reached = Math.max(reached, to);
      }
      return { bytes, twice };
    },
    [Symbol.dispose]: () => server[Symbol.dispose](),
    [Symbol.asyncDispose]: async () => server[Symbol.dispose](),
  };
}

/** Counts the bytes of a request's body, and breaks the connection behind so many. */
async function* counted(
  request: HttpRequest,
  record: Mutable<RecordedRequest>,
  cutAfter = Infinity,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  for await (const piece of request.body) {
    const bytes = piece.subarray(0, cutAfter - record.received);
    record.received += bytes.length;
    yield bytes;
    if (record.received < cutAfter) continue;
    request.drop();
    return;
  }
}
