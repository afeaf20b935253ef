import { connect, createServer, type Socket } from "node:net";

/**
 * A proxy in the process of the test: CONNECT tunnels, and plain requests to `http://` addresses passed on. It counts
 * what comes back, and can break each connection behind so many bytes.
 *
 *     using proxy = await startProxy({ cutAfter: 5_000_000 });
 *     await runCfsctl([…], { env: { HTTPS_PROXY: proxy.url } });
 */
export interface ProxyOptions {
  /** Each connection ends when so many bytes of the server's have passed; all of them arrive. */
  readonly cutAfter?: number;
  /** How fast each connection is at most, from the server to the client. */
  readonly bytesPerSecond?: number;
  /** Where connections really go, by the `HOST:PORT` that was asked for: names that nobody knows, for example. */
  readonly routes?: Readonly<Record<string, string>>;
  /** `NAME:PASSWORD` that clients have to give. */
  readonly login?: string;
}

export interface ProxyConnection {
  /** `HOST:PORT` as the client asked for it. */
  readonly target: string;
  readonly method: string;
  /** Bytes of the server's that were passed on. */
  readonly received: number;
  /** Bytes of the client's that were passed on. */
  readonly sent: number;
  readonly wasCut: boolean;
}

export interface TestProxy extends Disposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly connections: readonly ProxyConnection[];
  /** Bytes that servers sent, over all connections. */
  readonly received: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export async function startProxy(options: ProxyOptions = {}): Promise<TestProxy> {
  const connections: Mutable<ProxyConnection>[] = [];
  const sockets = new Set<Socket>();
  const track = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    return socket;
  };
  const server = createServer((client) => {
    track(client);
    let head = Buffer.alloc(0);
    const onData = (bytes: Buffer) => {
      head = Buffer.concat([head, bytes]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      client.off("data", onData);
      client.pause();
      open(client, head.toString("latin1", 0, end), head.subarray(end + 4));
    };
    client.on("data", onData);
  });

  const open = (client: Socket, head: string, rest: Buffer) => {
    const [line = "", ...fields] = head.split("\r\n");
    const [method = "", address = ""] = line.split(" ");
    if (!isWelcome(fields)) {
      client.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n\r\n',
      );
      return;
    }
    const url = method === "CONNECT" ? undefined : new URL(address);
    const target = url === undefined ? address : `${url.hostname}:${url.port || 80}`;
    const connection = { target, method, received: 0, sent: 0, wasCut: false };
    connections.push(connection);
    const [host, port] = splitAddress(options.routes?.[target] ?? target);
    const upstream = track(connect(port, host));
    upstream.on("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
    upstream.on("connect", () => {
      if (url === undefined) client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      else upstream.write(requestHead(method, url, fields));
      if (rest.length > 0) upstream.write(rest);
      pipe(upstream, client, connection);
      client.on("data", (bytes: Buffer) => {
        connection.sent += bytes.length;
        if (!upstream.write(bytes)) {
          client.pause();
          upstream.once("drain", () => client.resume());
        }
      });
      client.on("close", () => upstream.destroy());
      client.resume();
    });
  };

  const isWelcome = (fields: readonly string[]): boolean => {
    if (options.login === undefined) return true;
    const expected = `basic ${btoa(options.login)}`;
    const given = fields.find((field) => /^proxy-authorization:/i.test(field));
    return (
      given
        ?.slice(given.indexOf(":") + 1)
        .trim()
        .toLowerCase() === expected.toLowerCase()
    );
  };

  const pipe = (upstream: Socket, client: Socket, connection: Mutable<ProxyConnection>) => {
    const { cutAfter = Infinity, bytesPerSecond = Infinity } = options;
    const begun = performance.now();
    upstream.on("data", (all: Buffer) => {
      const bytes = all.subarray(0, cutAfter - connection.received);
      connection.received += bytes.length;
      const isDrained = bytes.length === 0 || client.write(bytes);
      if (connection.received >= cutAfter) {
        connection.wasCut = true;
        client.end();
        upstream.destroy();
        return;
      }
      const early = (connection.received / bytesPerSecond) * 1000 - (performance.now() - begun);
      if (isDrained && early <= 0) return;
      upstream.pause();
      const resume = () => void setTimeout(() => upstream.resume(), Math.max(0, early));
      if (isDrained) resume();
      else client.once("drain", resume);
    });
    upstream.on("close", () => client.end());
  };

  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    connections,
    get received() {
      return connections.reduce((sum, { received }) => sum + received, 0);
    },
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** One request a connection: the next one may be for another server. */
function requestHead(method: string, url: URL, fields: readonly string[]): string {
  const kept = fields.filter((field) => !/^(proxy-|connection:|keep-alive:)/i.test(field));
  return [`${method} ${url.pathname}${url.search} HTTP/1.1`, ...kept, "Connection: close", "", ""].join(
    "\r\n",
  );
}

function splitAddress(address: string): [host: string, port: number] {
  const colon = address.lastIndexOf(":");
  return [address.slice(0, colon).replace(/^\[|\]$/g, ""), Number(address.slice(colon + 1))];
}
