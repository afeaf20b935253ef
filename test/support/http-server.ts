import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { pem } from "./certificates.ts";

/**
 * An HTTP/1.1 server that does as it is told, down to the byte: announces lengths that are wrong, stops in the middle,
 * never ends. `Bun.serve` and `node:http` take care that none of this happens, hence this one on plain sockets.
 */
export interface HttpServer extends Disposable {
  readonly port: number;
  /** Most connections that were open at the same time. */
  readonly peakConnections: number;
}

export interface HttpRequest {
  readonly method: string;
  /** As it was sent: path and query. */
  readonly target: string;
  readonly headers: Headers;
  /** May be read once. What the handler leaves is read and thrown away. */
  readonly body: AsyncGenerator<Uint8Array<ArrayBuffer>, void>;
  /** Ends the connection at once. */
  drop(): void;
}

/** How the body travels; all of it at once, unless something is said. */
export interface Delivery {
  /** The connection is closed in good order behind so many bytes of the body: all of them arrive. */
  readonly cutAfter?: number;
  /** Nothing more is sent behind so many bytes, but the connection stays open. */
  readonly stallAfter?: number;
  readonly bytesPerSecond?: number;
  /** The body is followed by zeros until the client has had enough. */
  readonly endless?: boolean;
  /** What Content-Length says, instead of the size of the body; null: nothing, the body is sent in chunks. */
  readonly contentLength?: number | null;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly delivery?: Delivery;
  /** Called with the number of bytes of each piece of the body when it has been handed to the system. */
  readonly onSent?: (bytes: number) => void;
}

export interface HttpOptions {
  readonly tls?: boolean;
  /** Only clients with a certificate of the test authority are let in. */
  readonly clientCertificate?: boolean;
  readonly host?: string;
}

type Handler = (request: HttpRequest) => Promise<HttpAnswer>;

/** Type of the record that a TLS client begins with (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 22;
const MAX_HEAD = 64 * 1024;
const PIECE = 64 * 1024;
const END_OF_HEAD = Buffer.from("\r\n\r\n");

export async function startHttpServer(handler: Handler, options: HttpOptions = {}): Promise<HttpServer> {
  const sockets = new Set<Socket>();
  let peakConnections = 0;
  const accept = (socket: Socket) => {
    sockets.add(socket);
    peakConnections = Math.max(peakConnections, sockets.size);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    // a client that goes away is no failure of the server
    serveConnection(socket, handler).catch(() => socket.destroy());
  };
  const server: Server = options.tls
    ? createTlsServer(
        {
          cert: pem("serverCert"),
          key: pem("serverKey"),
          ...(options.clientCertificate && {
            ca: pem("ca"),
            requestCert: true,
            rejectUnauthorized: true,
          }),
        },
        accept,
      )
    : createServer(accept);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(0, options.host ?? "127.0.0.1", resolve);
  await promise;
  return {
    port: (server.address() as { port: number }).port,
    get peakConnections() {
      return peakConnections;
    },
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function serveConnection(socket: Socket, handler: Handler): Promise<void> {
  const input = new Input(socket);
  for (;;) {
    const head = await input.readHead();
    if (head === undefined) return void socket.end();
    const [line = "", ...fields] = head.split("\r\n");
    const [method = "", target = ""] = line.split(" ");
    const headers = new Headers();
    for (const field of fields) {
      const colon = field.indexOf(":");
      headers.append(field.slice(0, colon), field.slice(colon + 1).trim());
    }
    if (headers.get("expect") === "100-continue") socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    const body = input.readBody(headers);
    const answer = await handler({ method, target, headers, body, drop: () => socket.destroy() });
    if (socket.destroyed) return;
    for await (const _ of body);
    if (!(await sendAnswer(socket, method, answer))) return void socket.end();
    if (headers.get("connection")?.toLowerCase() === "close") return void socket.end();
  }
}

/** @returns whether the connection can be used again. */
async function sendAnswer(socket: Socket, method: string, answer: HttpAnswer): Promise<boolean> {
  const { status, headers = {}, body = new Uint8Array(0), delivery = {}, onSent } = answer;
  const { cutAfter = Infinity, stallAfter = Infinity, bytesPerSecond, endless = false } = delivery;
  const length = delivery.contentLength === undefined && !endless ? body.length : delivery.contentLength;
  const chunked = length === null || length === undefined;
  const lines = [
    `HTTP/1.1 ${status} ${REASONS[status] ?? "Status"}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(status === 204 || status === 304
      ? []
      : [chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${length}`]),
  ];
  await write(socket, Buffer.from(`${lines.join("\r\n")}\r\n\r\n`));
  if (method === "HEAD") return true;

  const piece = bytesPerSecond === undefined ? PIECE : Math.max(1, Math.min(PIECE, bytesPerSecond / 20));
  const stopAfter = Math.min(cutAfter, stallAfter);
  let sent = 0;
  while (!socket.destroyed && sent < stopAfter && (endless || sent < body.length)) {
    const rest = endless && sent >= body.length ? new Uint8Array(PIECE) : body.subarray(sent);
    const bytes = rest.subarray(0, Math.min(piece, stopAfter - sent));
    if (chunked) await write(socket, Buffer.from(`${bytes.length.toString(16)}\r\n`));
    await write(socket, bytes);
    if (chunked) await write(socket, Buffer.from("\r\n"));
    sent += bytes.length;
    onSent?.(bytes.length);
    if (bytesPerSecond !== undefined) await Bun.sleep((bytes.length / bytesPerSecond) * 1000);
  }
  if (sent >= stallAfter) await new Promise((resolve) => socket.once("close", resolve));
  if (sent >= cutAfter) return false;
  if (chunked) await write(socket, Buffer.from("0\r\n\r\n"));
  // a length that does not fit leaves the client waiting, or with bytes that it takes for the next answer
  return chunked || sent === length;
}

/** Waits while the client is slower than we are. */
async function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  if (socket.destroyed) throw new Error("the client has closed the connection");
  if (socket.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}

/** What arrives on a connection. */
class Input {
  readonly #pieces: AsyncIterator<Buffer>;
  #buffered: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#pieces = socket[Symbol.asyncIterator]();
  }

  /** @returns false at the end. */
  async #more(): Promise<boolean> {
    const next = await this.#pieces.next();
    if (next.done) return false;
    this.#buffered = this.#buffered.length === 0 ? next.value : Buffer.concat([this.#buffered, next.value]);
    return true;
  }

  /** Request line and header fields; undefined when the client has closed the connection. */
  async readHead(): Promise<string | undefined> {
    for (;;) {
      const end = this.#buffered.indexOf(END_OF_HEAD);
      if (end >= 0) {
        const head = this.#buffered.toString("latin1", 0, end);
        this.#buffered = this.#buffered.subarray(end + END_OF_HEAD.length);
        return head;
      }
      if (this.#buffered[0] === TLS_HANDSHAKE) throw new Error("the client speaks TLS");
      if (this.#buffered.length > MAX_HEAD) throw new Error("the head of a request is too long");
      if (!(await this.#more())) return undefined;
    }
  }

  async *readBody(headers: Headers): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    if (headers.get("transfer-encoding") !== "chunked") {
      yield* this.#read(Number(headers.get("content-length") ?? 0));
      return;
    }
    for (;;) {
      const size = Number.parseInt(await this.#readLine(), 16);
      if (size > 0) yield* this.#read(size);
      await this.#readLine();
      if (!(size > 0)) return;
    }
  }

  async *#read(size: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    for (let rest = size; rest > 0; ) {
      if (this.#buffered.length === 0 && !(await this.#more())) throw new Error("the body ends too early");
      const bytes = this.#buffered.subarray(0, rest);
      this.#buffered = this.#buffered.subarray(bytes.length);
      rest -= bytes.length;
      yield new Uint8Array(bytes);
    }
  }

  async #readLine(): Promise<string> {
    for (;;) {
      const end = this.#buffered.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#buffered.toString("latin1", 0, end);
        this.#buffered = this.#buffered.subarray(end + 2);
        return line;
      }
      if (!(await this.#more())) throw new Error("the body ends too early");
    }
  }
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  307: "Temporary Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  416: "Range Not Satisfiable",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};
