import { HttpClient, type HttpRequest, type Timeouts } from "../../http/client.ts";
import { cancelled, final, RequestError, requestErrorOf, statusOf } from "../../http/errors.ts";
import type { Reply } from "../../http/reply.ts";
import { Attempts, type RetryListener, type RetryPolicy } from "../../http/retry.ts";
import { type Action, Authenticator, repositoryScope } from "./auth.ts";
import { connectionsTo } from "./connection-settings.ts";
import { DEFAULT_HOST } from "./reference.ts";
import { replyError } from "./reply-error.ts";
import type { Endpoint, RegistryConfiguration } from "./types.ts";

/** Where the API of docker.io is. */
const DEFAULT_API_HOST = "registry-1.docker.io";

/** Attempts to reach a server that has never answered: most likely it is not there. */
const FIRST_CONTACT_ATTEMPTS = 3;

export interface SessionOptions {
  readonly action: Action;
  readonly retries: RetryPolicy;
  readonly timeouts: Timeouts;
  readonly onRetry: RetryListener | undefined;
}

/** A request to a registry; address and authorization are the session's affair. */
export interface RegistryRequest extends Omit<HttpRequest, "url" | "headers"> {
  /** Below the repository: `manifests/latest`. An URL for what the registry told us. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** For messages: "manifest latest". */
  readonly what: string;
  /** Statuses that are no failure. */
  readonly accept: readonly number[];
  /** Repositories besides the session's own that are read from. */
  readonly otherPaths?: readonly string[];
}

/** The API of one repository in one place. */
export class Session {
  readonly endpoint: Endpoint;
  /** It was found to refuse requests for several ranges. */
  onlySingleRanges = false;
  readonly #options: SessionOptions;
  readonly #http: HttpClient;
  readonly #auth: Authenticator;
  #base: Promise<URL> | undefined;
  /** Scopes that the registry asked for on top of ours. */
  readonly #extraScopes = new Set<string>();

  constructor(endpoint: Endpoint, configuration: RegistryConfiguration, options: SessionOptions) {
    this.endpoint = endpoint;
    this.#options = options;
    const names = new Map([
      [apiHost(endpoint), endpoint.host],
      [new URL(`https://${apiHost(endpoint)}`).host, endpoint.host],
    ]);
    this.#http = new HttpClient(connectionsTo(configuration), options.timeouts, endpoint.insecure, names);
    this.#auth = new Authenticator(this.#http, endpoint.host, endpoint.insecure, () =>
      configuration.credentials(endpoint.host, endpoint.path),
    );
  }

  /** For messages: `docker.io/library/alpine`. */
  get label(): string {
    return `${this.endpoint.host}/${this.endpoint.path}`;
  }

  attempts(signal: AbortSignal): Attempts {
    return new Attempts(this.#options.retries, signal, this.#options.onRetry);
  }

  /** `fetch` with further attempts. Only for requests that may be repeated, and whose body matters little. */
  async request(request: RegistryRequest): Promise<Reply> {
    return await this.attempts(request.signal).run(() => this.fetch(request));
  }

  /**
   * Sends a request once; a second time if another token is needed.
   * @throws CfsError for every status that isn't expected.
   */
  async fetch(request: RegistryRequest): Promise<Reply> {
    const { target, headers = {}, accept, what, otherPaths = [], ...rest } = request;
    const base = await this.#contact(request.signal);
    const url = typeof target === "string" ? new URL(`${this.endpoint.path}/${target}`, base) : target;
    // whatever the registry told us about other servers, they don't see our credentials
    const ours = url.origin === base.origin;
    for (let renewed = false; ; renewed = true) {
      const scopes = this.#scopes(otherPaths);
      const authorization = ours ? await this.#auth.authorization(scopes, request.signal) : undefined;
      const reply = await this.#http.send({
        ...rest,
        url,
        headers: authorization === undefined ? headers : { ...headers, Authorization: authorization },
      });
      if (accept.includes(reply.status)) return reply;
      if (reply.status === 401 && ours && !renewed && reply.url.origin === base.origin) {
        try {
          if (await this.#renew(reply, authorization, otherPaths, request.signal)) {
            await reply.discard();
            continue;
          }
        } catch (error) {
          await reply.discard();
          throw error;
        }
      }
      throw await replyError(reply, {
        host: this.endpoint.host,
        what: `${what} of ${this.endpoint.path}`,
        credentials: authorization === undefined ? undefined : await this.#auth.credentials(),
      });
    }
  }

  /** A request was refused. @returns whether there is something else now to authorize it with. */
  async #renew(
    reply: Reply,
    authorization: string | undefined,
    otherPaths: readonly string[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const scopes = this.#scopes(otherPaths);
    const scope = await this.#auth.challenged(reply);
    // what is asked for in connection with another repository is not wanted for every request
    const more = otherPaths.length === 0 && this.#addScope(scope);
    if (authorization !== undefined) await this.#auth.refused(authorization, scopes);
    return more || (await this.#auth.authorization(this.#scopes(otherPaths), signal)) !== authorization;
  }

  #scopes(otherPaths: readonly string[]): string[] {
    return [
      repositoryScope(this.endpoint.path, this.#options.action),
      ...otherPaths.map((path) => repositoryScope(path, "pull")),
      ...this.#extraScopes,
    ];
  }

  /** @returns whether it is one that we don't ask for anyway. */
  #addScope(scope: string | undefined): boolean {
    if (scope === undefined || scope === "" || scope.length > 1024 || this.#extraScopes.size >= 16)
      return false;
    const own = `repository:${this.endpoint.path}:`;
    if (scope.startsWith(own) || this.#extraScopes.has(scope)) return false;
    this.#extraScopes.add(scope);
    return true;
  }

  /** Finds out how the registry is to be spoken to; every request waits for that. */
  async #contact(signal: AbortSignal): Promise<URL> {
    for (;;) {
      const known = this.#base;
      const pending = known ?? this.#ping(signal);
      this.#base = pending;
      try {
        return await pending;
      } catch (error) {
        if (this.#base === pending) this.#base = undefined;
        if (signal.aborted) throw cancelled(signal);
        // it was another request's, which was cancelled
        if (known !== undefined && requestErrorOf(error) === undefined) continue;
        throw error;
      }
    }
  }

  async #ping(signal: AbortSignal): Promise<URL> {
    const attempts = this.attempts(signal);
    let unanswered = 0;
    for (;;) {
      try {
        return await this.#findApi(signal);
      } catch (error) {
        if (statusOf(error) === undefined && ++unanswered === FIRST_CONTACT_ATTEMPTS) throw final(error);
        await attempts.afterFailure(error).catch((last) => {
          throw final(last);
        });
      }
    }
  }

  async #findApi(signal: AbortSignal): Promise<URL> {
    try {
      return await this.#pingAt(new URL(`https://${apiHost(this.endpoint)}/v2/`), signal);
    } catch (error) {
      // if something answered, it is the registry that has a problem
      if (!this.endpoint.insecure || statusOf(error) !== undefined || signal.aborted) throw error;
      return await this.#pingAt(new URL(`http://${apiHost(this.endpoint)}/v2/`), signal);
    }
  }

  /** The check that an API is there (distribution specification, "Determining Support"). */
  async #pingAt(url: URL, signal: AbortSignal): Promise<URL> {
    const reply = await this.#http.send({ method: "GET", url, headers: {}, signal });
    const isChallenge = reply.status === 401 && reply.url.origin === url.origin;
    if (reply.status !== 200 && reply.status !== 404 && !isChallenge) {
      throw await replyError(reply, {
        host: this.endpoint.host,
        what: "the registry",
        credentials: undefined,
      });
    }
    await reply.discard();
    if (reply.status === 404) {
      throw new RequestError("Network", `${this.endpoint.host} is no registry: it has no /v2/`, {
        status: 404,
        hint: "check the name of the registry",
      });
    }
    if (isChallenge) await this.#auth.challenged(reply);
    return url;
  }
}

function apiHost({ host }: Endpoint): string {
  return host === DEFAULT_HOST ? DEFAULT_API_HOST : host;
}
