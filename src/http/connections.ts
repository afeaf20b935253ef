import type { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { addressOf, connectThrough, connectTo } from "./connect.ts";
import { Connection } from "./connection.ts";

/** To one server at a time; who wants more waits. */
const MAX_CONNECTIONS = 64;
/** Milliseconds after which a connection that isn't used is closed. */
const IDLE_TIME = 15_000;

/** What is known about a server before it is connected to. */
export type TlsSettings = Pick<ConnectionOptions, "ca" | "cert" | "key" | "rejectUnauthorized">;

export interface Server {
  /** URL of the proxy that leads to it. */
  readonly proxy: string | undefined;
  /** Its own; of a proxy, only the machine's authorities are asked. */
  readonly tls: () => TlsSettings;
  readonly proxyTls: () => TlsSettings;
}

/**
 * Connections of one client. They are kept for further requests to the same server by the same way. Nothing is left to
 * the environment: neither proxies nor how TLS is verified.
 */
export class Connections {
  readonly #routes = new Map<string, Route>();

  constructor() {
    // it has no effect here, but node:tls would warn of one
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  }

  /** The way to a server, which is the same for all of its URLs. */
  route(url: URL, server: Server): Route {
    const key = server.proxy === undefined ? url.origin : `${url.origin} ${server.proxy}`;
    let route = this.#routes.get(key);
    if (route === undefined) {
      route = new Route(url, server);
      this.#routes.set(key, route);
    }
    return route;
  }
}

/** A way to a server, and the connections that go there. */
export class Route {
  readonly #connect: () => Socket | Promise<Socket>;
  readonly #proxy: URL | undefined;
  #open = 0;
  readonly #idle: { readonly connection: Connection; readonly since: number }[] = [];
  #closing: ReturnType<typeof setTimeout> | undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(url: URL, { proxy: proxyUrl, tls, proxyTls }: Server) {
    const isSecure = url.protocol === "https:";
    const proxy = proxyUrl === undefined ? undefined : new URL(proxyUrl);
    this.#proxy = isSecure ? undefined : proxy;
    const direct = proxy ?? url;
    const firstTls = proxy === undefined ? tls : proxyTls;
    const connect = () => connectTo(addressOf(direct), direct.protocol === "https:" ? firstTls() : undefined);
    this.#connect =
      proxy !== undefined && isSecure
        ? async () =>
            connectThrough(
              await connect(),
              addressOf(url),
              authorization("Proxy-Authorization", proxy),
              tls(),
            )
        : connect;
  }

  /** What stands in the first line of a request, and the headers that belong to the way. */
  target(url: URL): { readonly target: string; readonly headers: Readonly<Record<string, string>> } {
    const path = `${url.pathname}${url.search}`;
    const headers = { Host: url.host, ...authorization("Authorization", url) };
    if (this.#proxy === undefined) return { target: path, headers };
    // How proxies want it (RFC 9112, 3.2.2).
    const target = `${url.protocol}//${url.host}${path}`;
    return { target, headers: { ...headers, ...authorization("Proxy-Authorization", this.#proxy) } };
  }

  /**
   * A connection, new or kept; it has to be given back or destroyed.
   * @param onTurn called when others need not be waited for any more. When it returns false, there is no connection.
   */
  async take(onTurn: () => boolean): Promise<Connection | undefined> {
    while (this.#idle.length === 0 && this.#open >= MAX_CONNECTIONS)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (!onTurn()) {
      this.#waiting.shift()?.();
      return undefined;
    }
    return this.#idle.pop()?.connection ?? (await this.#newConnection());
  }

  giveBack(connection: Connection): void {
    if (!connection.isUsable) return;
    connection.rest();
    this.#idle.push({ connection, since: performance.now() });
    this.#closing ??= this.#closeLater();
    this.#waiting.shift()?.();
  }

  async #newConnection(): Promise<Connection> {
    this.#open++;
    const closed = () => {
      this.#open--;
      this.#waiting.shift()?.();
    };
    let socket: Socket | Promise<Socket>;
    try {
      socket = this.#connect();
      if (socket instanceof Promise) socket = await socket;
    } catch (error) {
      closed();
      throw error;
    }
    const connection = new Connection(socket, () => {
      const index = this.#idle.findIndex((kept) => kept.connection === connection);
      if (index >= 0) this.#idle.splice(index, 1);
      closed();
    });
    return connection;
  }

  #closeLater(): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => {
      const limit = performance.now() - IDLE_TIME;
      for (const { connection, since } of [...this.#idle]) if (since <= limit) connection.destroy();
      this.#closing = this.#idle.length > 0 ? this.#closeLater() : undefined;
    }, IDLE_TIME);
    timer.unref();
    return timer;
  }
}

/** Name and password of a URL as a header. */
export function authorization(header: string, { username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const login = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64");
  return { [header]: `Basic ${login}` };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
