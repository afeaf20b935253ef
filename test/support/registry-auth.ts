import { randomUUID } from "node:crypto";
import type { HttpAnswer } from "./http-server.ts";

export interface User {
  readonly username: string;
  readonly password: string;
}

/** Who is let into a test registry. */
export type RegistryAuth =
  | ({ readonly scheme: "basic" } & User)
  | {
      readonly scheme: "bearer";
      /** Who may do everything. */
      readonly user?: User;
      /** A refresh token that does the same. */
      readonly identityToken?: string;
      /** Anybody may pull. */
      readonly anonymousPull?: boolean;
      /** How many requests a token is good for; after that it has expired. */
      readonly usesPerToken?: number;
      /** What the answer says of the token's lifetime, in seconds. */
      readonly expiresIn?: number;
      /** Where the token service is said to be, when not at this registry's /token. */
      readonly realm?: string;
      /** The scopes that a token gets, of those that were asked for. */
      readonly grant?: (scopes: readonly string[]) => readonly string[];
    };

interface Token {
  readonly scopes: readonly string[];
  usesLeft: number;
}

const SERVICE = "test registry";

/** Basic authentication, or Bearer tokens with a token service as the distribution project documents it. */
export class Gate {
  readonly #auth: RegistryAuth | undefined;
  readonly #tokens = new Map<string, Token>();
  /** How many tokens were given out. */
  issued = 0;

  constructor(auth: RegistryAuth | undefined) {
    this.#auth = auth;
  }

  /** From now on no token is good any more. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /**
   * @param actions `REPOSITORY:ACTION` for each thing that the request does.
   * @returns the refusal, or undefined when the request may pass.
   */
  check(headers: Headers, url: string, actions: readonly string[]): HttpAnswer | undefined {
    if (this.#auth === undefined) return undefined;
    const given = headers.get("authorization");
    if (this.#auth.scheme === "basic") {
      return given === basic(this.#auth)
        ? undefined
        : refusal(`Basic realm="${SERVICE}"`, "a name and password are needed");
    }
    const realm = this.#auth.realm ?? `${url}/token`;
    const scope = scopesOf(actions).join(" ");
    const challenge = `Bearer realm="${realm}",service="${SERVICE}"${scope && `,scope="${scope}"`}`;
    if (given === null) return refusal(challenge, "a token is needed");
    const token = this.#tokens.get(given.replace(/^Bearer /, ""));
    if (token === undefined || token.usesLeft-- <= 0)
      return refusal(`${challenge},error="invalid_token"`, "the token is unknown or has expired");
    const missing = scopesOf(actions).filter((wanted) => !covers(token.scopes, wanted));
    if (missing.length === 0) return undefined;
    return refusal(`${challenge},error="insufficient_scope"`, `the token does not allow ${missing.join()}`);
  }

  /** The token service: GET with Basic credentials, or POST of a form as in OAuth 2. */
  issue(method: string, headers: Headers, query: URLSearchParams, form: URLSearchParams): HttpAnswer {
    if (this.#auth?.scheme !== "bearer") return { status: 404 };
    const { user, identityToken, anonymousPull = false, usesPerToken = Infinity } = this.#auth;
    const isPost = method === "POST";
    const asked = (isPost ? form : query).getAll("scope").flatMap((scope) => scope.split(" "));
    const known =
      (!isPost && user !== undefined && headers.get("authorization") === basic(user)) ||
      (form.get("grant_type") === "refresh_token" &&
        identityToken !== undefined &&
        form.get("refresh_token") === identityToken) ||
      (form.get("grant_type") === "password" &&
        form.get("username") === user?.username &&
        form.get("password") === user?.password);
    const isAnonymous = !isPost && headers.get("authorization") === null;
    if (!known && !(isAnonymous && anonymousPull))
      return errorAnswer(401, "UNAUTHORIZED", "incorrect name or password");
    const allowed = known ? asked : asked.map((scope) => scope.replace(/:[^:]*$/, ":pull"));
    const token = randomUUID();
    this.issued++;
    this.#tokens.set(token, { scopes: this.#auth.grant?.(allowed) ?? allowed, usesLeft: usesPerToken });
    return json(200, {
      token,
      access_token: token,
      issued_at: new Date().toISOString(),
      ...(this.#auth.expiresIn !== undefined && { expires_in: this.#auth.expiresIn }),
      ...(known &&
        identityToken !== undefined &&
        query.get("offline_token") === "true" && { refresh_token: identityToken }),
    });
  }
}

export function json(status: number, value: object, headers: Record<string, string> = {}): HttpAnswer {
  return {
    status,
    headers: { "Content-Type": "application/json", ...headers },
    body: Buffer.from(JSON.stringify(value)),
  };
}

/** As the distribution specification wants errors to be. */
export function errorAnswer(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): HttpAnswer {
  return json(status, { errors: [{ code, message, detail: null }] }, headers);
}

function refusal(challenge: string, message: string): HttpAnswer {
  return errorAnswer(401, "UNAUTHORIZED", message, { "WWW-Authenticate": challenge });
}

function basic({ username, password }: User): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** `repository:NAME:ACTION,ACTION` for `NAME:ACTION`s. */
function scopesOf(actions: readonly string[]): string[] {
  const byName = Map.groupBy(actions, (action) => action.slice(0, action.lastIndexOf(":")));
  return [...byName].map(
    ([name, list]) => `repository:${name}:${list.map((action) => action.slice(name.length + 1)).join()}`,
  );
}

function covers(granted: readonly string[], wanted: string): boolean {
  const split = (scope: string) => {
    const colon = scope.lastIndexOf(":");
    return { name: scope.slice(0, colon), actions: scope.slice(colon + 1).split(",") };
  };
  const { name, actions } = split(wanted);
  const allowed = granted.map(split).flatMap((scope) => (scope.name === name ? scope.actions : []));
  return actions.every((action) => allowed.includes(action) || allowed.includes("*"));
}
