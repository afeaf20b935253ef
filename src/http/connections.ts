import http from "node:http";
import https from "node:https";
import type { ConnectionOptions } from "node:tls";
import { TunnelAgent } from "./tunnel.ts";

/** Far more than are used at a time; a request that waits for a connection runs out of time. */
const MAX_CONNECTIONS = 64;
const MAX_IDLE_CONNECTIONS = 8;
/** Milliseconds after which a connection that isn't used is closed. */
const IDLE_TIME = 15_000;
/** Bytes of a reply's head. Those that send us on to a storage have long ones. */
const MAX_HEAD = 64 * 1024;
/** Milliseconds after which another address of a host is tried. */
const NEXT_ADDRESS = 1000;

export interface RequestHead {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What is known about a server before it is connected to. */
export type TlsSettings = Pick<ConnectionOptions, "ca" | "cert" | "key" | "rejectUnauthorized">;

export interface Server {
  /** URL of the proxy that leads to it. */
  readonly proxy: string | undefined;
  /** Its own; of a proxy, only the machine's authorities are asked. */
  readonly tls: () => TlsSettings;
  readonly proxyTls: () => TlsSettings;
}

/** Connections of one client. They are kept for further requests to the same server by the same way. */
export class Connections {
  readonly #agents = new Map<string, http.Agent>();

  constructor() {
    // it has no effect here, but node:tls would warn of one
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  }

  /** A request that has not been sent yet. Nothing is left to the environment: neither proxies nor how TLS is verified. */
  request(url: URL, { method, headers }: RequestHead, server: Server): http.ClientRequest {
    const proxy = server.proxy === undefined ? undefined : new URL(server.proxy);
    const isForwarded = proxy !== undefined && url.protocol === "http:";
    const target = isForwarded ? proxy : url;
    return (target.protocol === "https:" ? https : http).request({
      method,
      ...addressOf(target),
      path: isForwarded ? absoluteForm(url) : `${url.pathname}${url.search}`,
      headers: {
        Host: url.host,
        ...authorization("Authorization", url),
        ...headers,
        ...(isForwarded ? authorization("Proxy-Authorization", proxy) : {}),
      },
      agent: this.#agent(url, proxy, server),
      maxHeaderSize: MAX_HEAD,
    });
  }

  #agent(url: URL, proxy: URL | undefined, server: Server): http.Agent {
    const key = `${url.origin} ${proxy?.href ?? ""}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = newAgent(url, proxy, server);
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

function newAgent(url: URL, proxy: URL | undefined, { tls, proxyTls }: Server): http.Agent {
  const options = {
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    maxFreeSockets: MAX_IDLE_CONNECTIONS,
    timeout: IDLE_TIME,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS,
  };
  if (url.protocol === "http:")
    return proxy?.protocol === "https:"
      ? new https.Agent({ ...options, ...proxyTls() })
      : new http.Agent(options);
  if (proxy === undefined) return new https.Agent({ ...options, ...tls() });
  const connection = {
    ...addressOf(proxy),
    headers: authorization("Proxy-Authorization", proxy),
    ...(proxy.protocol === "https:" ? proxyTls() : {}),
  };
  return new TunnelAgent({ ...options, ...tls() }, proxy.protocol === "https:" ? https : http, connection);
}

function addressOf({ hostname, port, protocol }: URL): { host: string; port: number } {
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
  };
}

/** How proxies want it (RFC 9112, 3.2.2). */
function absoluteForm({ protocol, host, pathname, search }: URL): string {
  return `${protocol}//${host}${pathname}${search}`;
}

/** Name and password of a URL as a header. */
function authorization(header: string, { username, password }: URL): Record<string, string> {
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
