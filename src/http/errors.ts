import { CfsError, type ErrorKind, type ErrorOptions, hintOf, kindOf } from "../errors.ts";
import type { Advice } from "./settings.ts";

export interface FailureOptions extends ErrorOptions {
  /** It may work when it is tried again. */
  readonly transient?: boolean;
  /** Milliseconds to wait until then, as the server wishes. */
  readonly retryAfter?: number;
  /** HTTP status of the reply, when there was one. */
  readonly status?: number;
}

/** A request that failed. */
export class RequestError extends CfsError {
  readonly transient: boolean;
  readonly retryAfter: number | undefined;
  readonly status: number | undefined;

  constructor(kind: ErrorKind, message: string, options: FailureOptions = {}) {
    super(kind, message, options);
    this.transient = options.transient ?? false;
    this.retryAfter = options.retryAfter;
    this.status = options.status;
  }
}

/** The failed request beneath an error, if that is what happened. */
export function requestErrorOf(error: unknown): RequestError | undefined {
  for (let e: unknown = error; e instanceof Error; e = e.cause) if (e instanceof RequestError) return e;
  return undefined;
}

export function statusOf(error: unknown): number | undefined {
  return requestErrorOf(error)?.status;
}

/** The same error, which is not to be followed by another attempt: there have been enough. */
export function final(error: unknown): unknown {
  const request = requestErrorOf(error);
  if (!(error instanceof CfsError) || request === undefined || !request.transient) return error;
  const { status } = request;
  const hint = hintOf(error);
  return new RequestError(kindOf(error) ?? "Network", error.message, {
    ...(error.cause === undefined ? {} : { cause: error.cause }),
    ...(hint === undefined ? {} : { hint }),
    ...(status === undefined ? {} : { status }),
  });
}

export function cancelled(signal: AbortSignal): CfsError {
  const { reason } = signal;
  return reason instanceof CfsError
    ? reason
    : new CfsError("Cancelled", "the transfer was cancelled", { cause: reason });
}

/** What `node:tls` says about certificates (the names come from OpenSSL). */
const CERTIFICATE_ERRORS: ReadonlyMap<string, string> = new Map([
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "the certificate is signed by itself"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "the certificate's authority is not trusted"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "the certificate's authority is not trusted"],
  ["UNABLE_TO_GET_ISSUER_CERT", "the certificate's authority is not trusted"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "the certificate's authority is not trusted"],
  ["CERT_UNTRUSTED", "the certificate's authority is not trusted"],
  ["CERT_HAS_EXPIRED", "the certificate has expired"],
  ["CERT_NOT_YET_VALID", "the certificate is not valid yet"],
  ["CERT_REVOKED", "the certificate was revoked"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the certificate is for another host"],
]);

/** Error codes that a second attempt won't change, apart from those of certificates. */
const UNRESOLVED = new Set(["ENOTFOUND", "EAI_NONAME", "EAI_NODATA"]);

/** The connection ended, as one that was idle may do at any time. */
export function isBroken(error: unknown): boolean {
  return BROKEN.has(codeOf(error));
}

/** Says in one sentence what the system reported for a request that got no reply, or lost its connection. */
export function transportError(url: URL, error: unknown, advice: Advice): CfsError {
  if (error instanceof CfsError) return error;
  const code = codeOf(error);
  const certificate = CERTIFICATE_ERRORS.get(code);
  if (certificate !== undefined) {
    return new RequestError("Network", `${url.host}: ${certificate} (${code})`, { hint: advice.certificate });
  }
  if (UNRESOLVED.has(code)) {
    return new RequestError("Network", `${url.host}: there is no such host`, {
      hint: advice.unknownHost,
    });
  }
  if (code === "EPROTO" || code.startsWith("ERR_SSL_")) {
    return new RequestError("Network", `${url.host}: the TLS handshake failed`, {
      hint: advice.handshake,
    });
  }
  return new RequestError("Network", `${url.host}: ${NETWORK_ERRORS.get(code) ?? printable(textOf(error))}`, {
    transient: true,
    hint:
      url.protocol === "https:" && BROKEN.has(code) ? advice.closed : "check the network, or try again later",
  });
}

/** What a server that expects no TLS does, among other things. */
const BROKEN = new Set(["ECONNRESET", "EPIPE", "ERR_SOCKET_CLOSED"]);

const NETWORK_ERRORS: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "connection refused"],
  ["ECONNRESET", "the connection was closed unexpectedly"],
  ["EPIPE", "the connection was closed unexpectedly"],
  ["ERR_SOCKET_CLOSED", "the connection was closed unexpectedly"],
  ["ETIMEDOUT", "the connection timed out"],
  ["EHOSTUNREACH", "the host can't be reached"],
  ["ENETUNREACH", "the network can't be reached"],
  ["EAI_AGAIN", "the host name can't be resolved at present"],
  ["ERR_HTTP_HEAD_TOO_LONG", "the head of its reply is too long"],
]);

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const MAX_SHOWN = 300;

/** Text of a server on one line, without anything that a terminal would act on. */
export function printable(text: string): string {
  const line = text.replace(/[\p{C}\p{Z}]+/gu, " ").trim();
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line;
}
