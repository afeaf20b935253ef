import type { ErrorKind } from "../../errors.ts";
import { type FailureOptions, printable, RequestError } from "../../http/errors.ts";
import type { Reply } from "../../http/reply.ts";
import { parseRetryAfter } from "../../http/retry.ts";
import { asObject, parseJsonObject } from "../json.ts";
import type { Credentials } from "./types.ts";

/** What the message about a refused request needs to know. */
export interface ReplyContext {
  /** The registry, as the user names it. */
  readonly host: string;
  /** What was asked for: "manifest latest of library/alpine". */
  readonly what: string;
  /** Those that were shown. */
  readonly credentials: Credentials | undefined;
}

/** Which replies are worth another attempt (distribution specification and RFC 9110). */
function isTransient(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

/** Says in one sentence why a server didn't do what it was asked to. The body is read. */
export async function replyError(
  reply: Reply,
  { host, what, credentials }: ReplyContext,
): Promise<RequestError> {
  const { status } = reply;
  const said = explanation(await reply.excerpt());
  const because = said === "" ? `HTTP status ${status}` : `${said} (HTTP status ${status})`;
  const fail = (kind: ErrorKind, message: string, options: FailureOptions = {}) =>
    new RequestError(kind, message, { ...options, status, data: { status } });
  if (status === 401) return fail("Permission", ...refusal(host, what, credentials, because));
  if (status === 403) {
    return fail("Permission", `${host}: access to ${what} is denied: ${because}`, {
      hint: credentials === undefined ? logIn(host) : "ask the registry's owner for access",
    });
  }
  if (status === 404) {
    return fail("NotFound", `${host}: ${what} not found: ${because}`, {
      hint: "check the name and the tag; private repositories may look as if they didn't exist",
    });
  }
  if (status === 413) return fail("Invalid", `${host}: ${what} is too large for the registry: ${because}`);
  const transient = isTransient(status);
  const retryAfter = transient ? parseRetryAfter(reply.headers.get("retry-after")) : undefined;
  if (status === 429) {
    return fail("Network", `${host}: too many requests: ${because}`, {
      transient,
      ...(retryAfter === undefined ? {} : { retryAfter }),
      hint:
        retryAfter !== undefined && retryAfter > 0
          ? `try again in ${Math.ceil(retryAfter / 1000)} s, or log in`
          : "try again later, or log in",
    });
  }
  const isRefusal = status >= 400 && status < 500 && !transient;
  return fail(isRefusal ? "Invalid" : "Network", `${host}: ${what}: ${because}`, {
    transient,
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(transient ? { hint: "the server has a problem; try again later" } : {}),
  });
}

function logIn(host: string): string {
  return `log in with \`podman login ${host}\` or \`docker login ${host}\``;
}

function refusal(
  host: string,
  what: string,
  credentials: Credentials | undefined,
  because: string,
): [message: string, options: FailureOptions] {
  if (credentials === undefined) {
    return [
      `${host}: ${what} needs a login, or does not exist: ${because}`,
      { hint: `check the name, or ${logIn(host)}` },
    ];
  }
  const who =
    "username" in credentials ? `credentials of user ${printable(credentials.username)}` : "identity token";
  return [`${host} refused the ${who} for ${what}: ${because}`, { hint: `${logIn(host)} again` }];
}

const MAX_ERRORS = 3;

/**
 * What a registry says about an error (distribution specification, "Error Codes"), or a token server (RFC 6749, 5.2);
 * empty when that can't be understood.
 */
function explanation(body: Uint8Array): string {
  try {
    const object = parseJsonObject(body, "error");
    const texts: string[] = [];
    if (Array.isArray(object.errors)) {
      for (const item of object.errors.slice(0, MAX_ERRORS)) {
        const { code, message } = asObject(item, "error");
        texts.push(joined(code, message));
      }
    } else {
      texts.push(
        joined(object.error ?? object.code, object.error_description ?? object.message ?? object.details),
      );
    }
    return printable(texts.filter((text) => text !== "").join("; "));
  } catch {
    return "";
  }
}

function joined(code: unknown, message: unknown): string {
  return [code, message].filter((text) => typeof text === "string" && text !== "").join(": ");
}
