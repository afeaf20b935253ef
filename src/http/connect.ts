import { isIP, connect as netConnect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import type { TlsSettings } from "./connections.ts";
import { RequestError } from "./errors.ts";
import { parseReplyHead } from "./reply-head.ts";

/** Milliseconds after which another address of a host is tried. */
const NEXT_ADDRESS = 1000;
/** Milliseconds for a tunnel or a handshake; a request that is given up before doesn't end them. */
const TIME_LIMIT = 30_000;
/** Bytes of a proxy's reply. */
const MAX_TUNNEL_HEAD = 64 * 1024;

export interface Address {
  readonly host: string;
  readonly port: number;
}

export function addressOf({ hostname, port, protocol }: URL): Address {
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
  };
}

/** A connection, which may still be being made when it is without TLS. @param tls undefined for one without. */
export function connectTo(address: Address, tls: TlsSettings | undefined): Socket | Promise<Socket> {
  const options = { ...address, autoSelectFamilyAttemptTimeout: NEXT_ADDRESS };
  if (tls === undefined) return netConnect({ ...options, noDelay: true });
  return secured(tlsConnect({ ...options, ...serverName(address), ...tls }), address);
}

/** Server names are not for addresses (RFC 6066, 3). */
function serverName({ host }: Address): { servername?: string } {
  return isIP(host) === 0 ? { servername: host } : {};
}

/**
 * A connection to a server with TLS through a tunnel of a proxy (RFC 9110, 9.3.6).
 * @param toProxy connection to the proxy; it is closed when there is no tunnel.
 * @param headers for the proxy.
 */
export async function connectThrough(
  toProxy: Socket,
  address: Address,
  headers: Readonly<Record<string, string>>,
  tls: TlsSettings,
): Promise<Socket> {
  await openTunnel(toProxy, address, headers);
  return secured(tlsConnect({ ...address, ...serverName(address), ...tls, socket: toProxy }), address);
}

/** Nothing is sent to a server before it is known to be the right one. */
function secured(socket: Socket, address: Address): Promise<Socket> {
  return awaited(socket, `${nameOf(address)}: the TLS handshake takes too long`, (done) => {
    const onSecure = () => done();
    socket.once("secureConnect", onSecure);
    return () => socket.off("secureConnect", onSecure);
  });
}

async function openTunnel(
  socket: Socket,
  address: Address,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const name = nameOf(address);
  await awaited(socket, `${name}: the proxy doesn't answer`, (done) => {
    let head = "";
    const onData = (data: Buffer) => {
      head += data.latin1Slice();
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length <= MAX_TUNNEL_HEAD) return;
      try {
        const { status } = parseReplyHead(head.slice(0, Math.max(end, 0)), "CONNECT");
        // a server that speaks TLS waits for us
        const isOpen = status >= 200 && status <= 299 && end + 4 === head.length;
        done(isOpen ? undefined : refused(name, status));
      } catch (error) {
        done(error);
      }
    };
    socket.on("data", onData);
    const lines = [`CONNECT ${name} HTTP/1.1`, `Host: ${name}`];
    for (const [field, value] of Object.entries(headers)) lines.push(`${field}: ${value}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
    return () => socket.off("data", onData);
  });
}

function nameOf({ host, port }: Address): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/**
 * Waits for something that happens on a socket; when it does not, the socket is closed.
 * @param begin is given what to call in the end, and returns what undoes what it has done.
 */
async function awaited(
  socket: Socket,
  tooLate: string,
  begin: (done: (error?: unknown) => void) => () => void,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(timedOut(tooLate)), TIME_LIMIT);
  timer.unref();
  const onClose = () => reject(Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" }));
  socket.on("error", reject);
  socket.on("close", onClose);
  const undo = begin((error) => (error === undefined ? resolve() : reject(error)));
  try {
    await promise;
    return socket;
  } catch (error) {
    // it may fail once more
    socket.on("error", () => undefined);
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    undo();
    socket.off("error", reject);
    socket.off("close", onClose);
  }
}

function timedOut(message: string): RequestError {
  return new RequestError("Network", message, {
    transient: true,
    hint: "check the network, or try again later",
  });
}

function refused(name: string, status: number): RequestError {
  return new RequestError("Network", `${name}: the proxy makes no connection: HTTP status ${status}`, {
    transient: status === 408 || status === 429 || status >= 500,
    hint:
      status === 407
        ? "put the name and password for the proxy into its URL"
        : "the proxy may not allow it, or not reach the server",
  });
}
