import { getCACertificates } from "node:tls";
import { version } from "../../package.json" with { type: "json" };
import { withContext } from "../errors.ts";
import { Connections, type TlsSettings } from "./connections.ts";
import { cancelled, isBroken, RequestError, transportError } from "./errors.ts";
import { Exchange, type RequestBody } from "./exchange.ts";
import { Reply } from "./reply.ts";
import type { ReplyHead } from "./reply-head.ts";
import type { ConnectionSettings, TlsFiles } from "./settings.ts";

const USER_AGENT = `cfsctl/${version}`;
const MAX_REDIRECTS = 10;
/** Methods of requests with content, as a rule. */
const HAVE_CONTENT: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** When a connection is given up; there is no limit for a whole transfer. Times in milliseconds. */
export interface Timeouts {
  /** Until the head of the reply is there. */
  readonly reply: number;
  /** The same when the server has to finish an upload first. */
  readonly finish: number;
  /** Time over which the speed of a transfer is looked at. */
  readonly speedWindow: number;
  /** Bytes per second that make it worth while. */
  readonly lowSpeed: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  reply: 30_000,
  finish: 600_000,
  speedWindow: 30_000,
  lowSpeed: 1024,
};

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Besides, and instead of those of the same name: what only the server itself may see. */
  readonly privateHeaders?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  readonly signal: AbortSignal;
  /** The reply may take its time. */
  readonly slow?: boolean;
}

/** Sends single requests as the user's configuration wants it, and follows redirections. */
export class HttpClient {
  readonly #settings: ConnectionSettings;
  readonly #timeouts: Timeouts;
  readonly #insecure: boolean;
  /** Origins that are known by another name in the configuration. */
  readonly #names: ReadonlyMap<string, string>;
  readonly #connections = new Connections();

  /**
   * @param insecure any certificate will do.
   * @param names of hosts in the configuration by `HOST[:PORT]` in URLs, where they differ.
   */
  constructor(
    settings: ConnectionSettings,
    timeouts: Timeouts,
    insecure: boolean,
    names: ReadonlyMap<string, string>,
  ) {
    this.#settings = settings;
    this.#timeouts = timeouts;
    this.#insecure = insecure;
    this.#names = names;
  }

  /**
   * The reply to a request, whatever its status; other servers that it was sent on to don't see our authorization.
   * @throws CfsError Network, Cancelled
   */
  async send(request: HttpRequest): Promise<Reply> {
    let { url } = request;
    let headers: HttpRequest["headers"] = { ...request.headers, ...request.privateHeaders };
    for (let redirects = 0; ; redirects++) {
      const reply = await this.#exchange({ ...request, url, headers });
      if (!isRedirection(reply)) return reply;
      await reply.discard();
      const target = redirectionTarget(request, reply);
      if (redirects === MAX_REDIRECTS)
        throw new RequestError("Network", `${request.url.host}: more than ${MAX_REDIRECTS} redirections`);
      if (target.origin !== url.origin) {
        const { Authorization: _, ...others } = request.headers;
        headers = others;
      }
      url = target;
    }
  }

  async #exchange(request: HttpRequest): Promise<Reply> {
    const { url, body, signal } = request;
    const proxy = this.#settings.proxy(url);
    const failure = (error: unknown) => transportError(url, error, this.#settings.advice);
    try {
      for (;;) {
        if (signal.aborted) throw cancelled(signal);
        const exchange = this.#open(request, proxy);
        const onAbort = () => exchange.abort(cancelled(signal));
        signal.addEventListener("abort", onAbort, { once: true });
        const release = () => signal.removeEventListener("abort", onAbort);
        try {
          const head = await this.#answered(exchange, request);
          return new Reply(exchange, head, url, this.#timeouts, failure, release);
        } catch (error) {
          release();
          // the server was about to close the connection: a new one will do
          if (exchange.isReused && body === undefined && isBroken(error)) continue;
          throw failure(error);
        }
      }
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      throw proxy === undefined ? error : withContext(`through the proxy ${hostOf(proxy)}`, error);
    }
  }

  #open({ method, url, headers, body }: HttpRequest, proxy: string | undefined): Exchange {
    const head = {
      method,
      url,
      headers: {
        "User-Agent": USER_AGENT,
        ...headers,
        // some servers want to know that there is no content (RFC 9110, 8.6)
        ...(body !== undefined || HAVE_CONTENT.has(method)
          ? { "Content-Length": String(body?.size ?? 0) }
          : {}),
      },
    };
    const route = this.#connections.route(url, {
      proxy,
      tls: () => this.#tls(url),
      proxyTls: () => ({ ca: trusted(NO_FILES), rejectUnauthorized: true }),
    });
    return new Exchange(route, head);
  }

  /** Sends a request, and waits for the head of the reply. */
  async #answered(exchange: Exchange, { url, body, slow }: HttpRequest): Promise<ReplyHead> {
    const limit = slow === true ? this.#timeouts.finish : this.#timeouts.reply;
    const silent = () =>
      exchange.abort(
        new RequestError("Network", `${url.host}: no reply within ${limit / 1000} s`, {
          transient: true,
          hint: "check the network, or try again later",
        }),
      );
    let timer: ReturnType<typeof setTimeout> | undefined;
    let hasAnswered = false;
    const restart = () => {
      clearTimeout(timer);
      if (!hasAnswered) timer = setTimeout(silent, limit);
    };
    try {
      return await exchange.send(body === undefined ? undefined : watched(body, restart), restart);
    } finally {
      hasAnswered = true;
      clearTimeout(timer);
    }
  }

  #tls(url: URL): TlsSettings {
    const files = this.#settings.tls(this.#names.get(url.host) ?? url.host);
    return {
      ca: trusted(files),
      ...(files.cert === undefined ? {} : { cert: files.cert }),
      ...(files.key === undefined ? {} : { key: files.key }),
      // said in any case: else the environment (NODE_TLS_REJECT_UNAUTHORIZED) could say otherwise
      rejectUnauthorized: !this.#insecure,
    };
  }
}

/** @param onChunk called whenever something was done by either side. */
function watched(body: RequestBody, onChunk: () => void): RequestBody {
  return {
    size: body.size,
    chunks: async function* () {
      for await (const chunk of body.chunks()) {
        onChunk();
        yield chunk;
        onChunk();
      }
    },
  };
}

/** Without the password that a proxy's URL may hold. */
function hostOf(proxy: string): string {
  return URL.parse(proxy)?.host ?? "of the environment";
}

const NO_FILES: TlsFiles = { ca: [] };

let systemAuthorities: string[] | undefined;

/** The machine's certificate authorities, as other programs use them, and those for this host. */
function trusted({ ca, isComplete }: TlsFiles): string[] {
  if (isComplete === true) return [...ca];
  if (systemAuthorities === undefined) {
    const system = getCACertificates("system");
    systemAuthorities = [
      ...new Set([
        ...(system.length > 0 ? system : getCACertificates("bundled")),
        ...getCACertificates("extra"),
      ]),
    ];
  }
  return ca.length === 0 ? systemAuthorities : [...systemAuthorities, ...ca];
}

function isRedirection(reply: Reply): boolean {
  return [301, 302, 303, 307, 308].includes(reply.status) && reply.headers.has("location");
}

/** Where a reply sends us on to. @throws CfsError Network when we don't follow */
function redirectionTarget({ method }: HttpRequest, { status, url, headers }: Reply): URL {
  const target = URL.parse(headers.get("location") ?? "", url.href);
  if (target === null || (target.protocol !== "https:" && target.protocol !== "http:"))
    throw new RequestError("Network", `${url.host}: it sends us on to an address that can't be understood`);
  if (url.protocol === "https:" && target.protocol === "http:") {
    throw new RequestError("Network", `${url.host}: it sends us on to ${target.host} without encryption`, {
      hint: "this is refused; the server has to be set up for https",
    });
  }
  if (method !== "GET" && method !== "HEAD" && (status < 307 || target.origin !== url.origin)) {
    throw new RequestError(
      "Network",
      `${url.host}: it sends an upload on to ${target.host}, which is refused`,
    );
  }
  target.username = "";
  target.password = "";
  return target;
}
