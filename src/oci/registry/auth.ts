import { type CfsError, withContext } from "../../errors.ts";
import type { HttpClient, HttpRequest } from "../../http/client.ts";
import { RequestError } from "../../http/errors.ts";
import type { Reply } from "../../http/reply.ts";
import { type JsonObject, optionalString, parseJsonObject } from "../json.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { replyError } from "./reply-error.ts";
import type { Credentials } from "./types.ts";

const MAX_TOKEN_REPLY = 1024 * 1024;

/** Seconds that a token is good for when nobody says, and at least. */
const DEFAULT_LIFETIME = 60;

/** Milliseconds before its end from which a token isn't used any more. */
const MARGIN = 5000;

/** User name that stands for an identity token (docker's credential helpers). */
const TOKEN_USER = "<token>";

const CLIENT_ID = "cfsctl";

export type Action = "pull" | "pull,push";

/** What a token has to allow (distribution, "Token Scope Documentation"). */
export function repositoryScope(path: string, action: Action): string {
  return `repository:${path}:${action}`;
}

interface Token {
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** Authenticates requests to one registry: remembers what it asked for, and the tokens. */
export class Authenticator {
  readonly #http: HttpClient;
  /** For messages. */
  readonly #host: string;
  readonly #load: () => Promise<Credentials | undefined>;
  readonly #insecure: boolean;
  #origin: URL | undefined;
  #challenge: Challenge | undefined;
  #credentials: Promise<Credentials | undefined> | undefined;
  readonly #tokens = new Map<string, Promise<Token>>();

  /** @param insecure secrets may go over connections that aren't safe. */
  constructor(
    http: HttpClient,
    host: string,
    insecure: boolean,
    credentials: () => Promise<Credentials | undefined>,
  ) {
    this.#http = http;
    this.#host = host;
    this.#insecure = insecure;
    this.#load = credentials;
  }

  /**
   * Takes note of what a reply with status 401 asks for. Its body is left alone.
   * @returns the scope that it names, if any.
   * @throws CfsError Unsupported
   */
  async challenged(reply: Reply): Promise<string | undefined> {
    const challenges = parseChallenges(reply.headers.get("www-authenticate") ?? "");
    const known = challenges.filter(({ scheme }) => scheme === "basic" || scheme === "bearer");
    const bearer = known.find(({ scheme }) => scheme === "bearer");
    const first = known[0];
    if (first === undefined) {
      const names = challenges.map(({ scheme }) => scheme).join(", ");
      throw new RequestError(
        "Permission",
        `${this.#host} wants to be authenticated to${names === "" ? ", but doesn't say how" : ` by ${names}, which isn't supported`}`,
        { status: 401 },
      );
    }
    // without a password, only a token can be had
    const useful = (await this.credentials()) === undefined ? (bearer ?? first) : first;
    this.#challenge = useful;
    this.#origin = reply.url;
    return useful.parameters.get("scope");
  }

  credentials(): Promise<Credentials | undefined> {
    this.#credentials ??= this.#load();
    return this.#credentials;
  }

  /**
   * The `Authorization` header for a request; undefined when there is nothing to show.
   * @param scopes that the request needs.
   * @throws CfsError Permission, Network
   */
  async authorization(scopes: readonly string[], signal: AbortSignal): Promise<string | undefined> {
    if (this.#challenge === undefined) return undefined;
    if (this.#challenge.scheme === "basic") {
      const credentials = await this.credentials();
      return credentials === undefined ? undefined : basic(credentials);
    }
    const key = scopes.join(" ");
    for (;;) {
      let pending = this.#tokens.get(key);
      const fresh = pending === undefined;
      if (pending === undefined) {
        pending = this.#requestToken(this.#challenge, scopes, signal).catch((error) => {
          throw withContext(`${this.#host}: getting a token`, error);
        });
        this.#tokens.set(key, pending);
      }
      let token: Token;
      try {
        token = await pending;
      } catch (error) {
        if (this.#tokens.get(key) === pending) this.#tokens.delete(key);
        // it may be another request that was cancelled
        if (!fresh && !signal.aborted) continue;
        throw error;
      }
      if (fresh || token.expires - MARGIN > Date.now()) return `Bearer ${token.text}`;
      if (this.#tokens.get(key) === pending) this.#tokens.delete(key);
    }
  }

  /** A request with this header was refused: a token that was used for it is not used again. */
  async refused(authorization: string, scopes: readonly string[]): Promise<void> {
    const key = scopes.join(" ");
    const pending = this.#tokens.get(key);
    if (pending === undefined) return;
    const token = await pending.catch(() => undefined);
    if (token !== undefined && authorization === `Bearer ${token.text}` && this.#tokens.get(key) === pending)
      this.#tokens.delete(key);
  }

  async #requestToken(challenge: Challenge, scopes: readonly string[], signal: AbortSignal): Promise<Token> {
    const realm = this.#realm(challenge);
    const service = challenge.parameters.get("service");
    const credentials = await this.credentials();
    if (credentials !== undefined && "identityToken" in credentials) {
      const reply = await this.#http.send(
        refreshRequest(realm, service, scopes, credentials.identityToken, signal),
      );
      if (reply.status === 200) return await this.#token(reply);
      // servers that know nothing of it answer with one of these
      if (![401, 404, 405].includes(reply.status)) throw await this.#tokenError(reply, credentials);
      await reply.discard();
    }
    const reply = await this.#http.send(tokenRequest(realm, service, scopes, credentials, signal));
    if (reply.status !== 200) throw await this.#tokenError(reply, credentials);
    return await this.#token(reply);
  }

  #realm({ parameters }: Challenge): URL {
    const origin = this.#origin!;
    const realm = URL.parse(parameters.get("realm") ?? "", origin.href);
    if (
      realm === null ||
      (realm.protocol !== "https:" && realm.protocol !== "http:") ||
      !parameters.has("realm")
    )
      throw new RequestError("Invalid", `${this.#host} doesn't name a server for tokens`);
    if (realm.protocol === "http:" && origin.protocol === "https:" && !this.#insecure) {
      throw new RequestError(
        "Permission",
        `${this.#host} wants tokens to be fetched from ${realm.host} without encryption, which is refused`,
      );
    }
    return realm;
  }

  async #token(reply: Reply): Promise<Token> {
    const what = `token of ${reply.url.host}`;
    const object = parseJsonObject(await reply.bytes(MAX_TOKEN_REPLY, what), what);
    const text = optionalString(object, "token", what) || optionalString(object, "access_token", what);
    if (text === undefined || !/^[\x21-\x7e]+$/.test(text))
      throw new RequestError("Invalid", `${reply.url.host}: the reply of the token server has no token`);
    return { text, expires: expiry(object) };
  }

  async #tokenError(reply: Reply, credentials: Credentials | undefined): Promise<CfsError> {
    return await replyError(reply, {
      host: this.#host,
      what: `token server ${reply.url.host}`,
      credentials,
    });
  }
}

/** When a token ends; the server's clock need not agree with ours, so its dates in the past are not believed. */
function expiry(object: JsonObject): number {
  const seconds = object.expires_in;
  const lifetime =
    typeof seconds === "number" && Number.isFinite(seconds)
      ? Math.max(seconds, DEFAULT_LIFETIME)
      : DEFAULT_LIFETIME;
  const now = Date.now();
  const issued = typeof object.issued_at === "string" ? Date.parse(object.issued_at) : Number.NaN;
  const end = (Number.isNaN(issued) ? now : Math.min(issued, now)) + lifetime * 1000;
  return end - MARGIN > now ? end : now + DEFAULT_LIFETIME * 1000;
}

function basic(credentials: Credentials): string {
  const [user, secret] =
    "identityToken" in credentials
      ? [TOKEN_USER, credentials.identityToken]
      : [credentials.username, credentials.password];
  return `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
}

function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  signal: AbortSignal,
): HttpRequest {
  const url = new URL(realm);
  if (credentials !== undefined && "username" in credentials)
    url.searchParams.append("account", credentials.username);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  if (service !== undefined) url.searchParams.append("service", service);
  const headers: Record<string, string> =
    credentials === undefined ? {} : { Authorization: basic(credentials) };
  return { method: "GET", url, headers, signal };
}

/** A refresh token is exchanged as OAuth 2 has it (RFC 6749, 6). */
function refreshRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  identityToken: string,
  signal: AbortSignal,
): HttpRequest {
  const form = new URLSearchParams({ grant_type: "refresh_token" });
  if (service !== undefined) form.append("service", service);
  form.append("scope", scopes.join(" "));
  form.append("client_id", CLIENT_ID);
  form.append("refresh_token", identityToken);
  const bytes = Buffer.from(form.toString());
  return {
    method: "POST",
    url: realm,
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: {
      size: bytes.length,
      chunks: async function* () {
        yield bytes;
      },
    },
    signal,
  };
}
