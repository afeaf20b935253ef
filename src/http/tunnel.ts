import type http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect } from "node:tls";
import { RequestError } from "./errors.ts";

type Done = (error: Error | null, socket: Duplex) => void;

/** Milliseconds until a proxy has to have a connection; a request that is given up before doesn't end that. */
const TIME_LIMIT = 30_000;

/** Connects to `https` servers through tunnels of a proxy (RFC 9110, 9.3.6). */
export class TunnelAgent extends https.Agent {
  readonly #http: Pick<typeof http, "request">;
  readonly #proxy: http.RequestOptions;

  /** @param http what the proxy speaks; @param proxy options of requests to it. */
  constructor(options: https.AgentOptions, http: Pick<typeof https, "request">, proxy: http.RequestOptions) {
    super(options);
    this.#http = http;
    this.#proxy = proxy;
  }

  override createConnection(options: ConnectionOptions, done: Done): undefined {
    const address = `${options.host?.includes(":") ? `[${options.host}]` : options.host}:${options.port}`;
    const request = this.#http.request({
      ...this.#proxy,
      method: "CONNECT",
      path: address,
      headers: { ...this.#proxy.headers, Host: address },
      agent: false,
    });
    const timer = setTimeout(() => request.destroy(timedOut(address)), TIME_LIMIT);
    timer.unref();
    const fail = (error: Error) => {
      clearTimeout(timer);
      (done as (error: Error) => void)(error);
    };
    request.on("error", fail);
    request.on("connect", ({ statusCode = 0 }: http.IncomingMessage, socket: Socket, early: Buffer) => {
      request.off("error", fail);
      // a server that speaks TLS waits for us
      if (statusCode < 200 || statusCode > 299 || early.length > 0) {
        socket.destroy();
        return fail(refused(address, statusCode));
      }
      clearTimeout(timer);
      done(null, connect({ ...options, socket }));
    });
    request.end();
  }
}

function timedOut(address: string): RequestError {
  return new RequestError("Network", `${address}: the proxy doesn't answer`, {
    transient: true,
    hint: "check the network, or try again later",
  });
}

function refused(address: string, status: number): RequestError {
  return new RequestError("Network", `${address}: the proxy makes no connection: HTTP status ${status}`, {
    transient: status === 408 || status === 429 || status >= 500,
    hint:
      status === 407
        ? "put the name and password for the proxy into its URL"
        : "the proxy may not allow it, or not reach the server",
  });
}
