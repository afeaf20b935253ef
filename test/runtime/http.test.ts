import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, getCACertificates } from "node:tls";
import { pem } from "../support/certificates.ts";

/** What src/http relies on, beyond the documentation of node:http. A new Bun that breaks it is noticed here. */

let server: Server | undefined;
let sockets: Socket[] = [];
afterEach(() => {
  server?.close();
  for (const socket of sockets) socket.destroy();
  sockets = [];
});

/** A server that gets a socket for each piece of a request. @returns its port */
async function serve(answer: (socket: Socket, request: string) => void, secure = false): Promise<number> {
  const accept = (socket: Socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (data) => answer(socket, data.toString()));
  };
  server = secure
    ? createTlsServer({ cert: pem("serverCert"), key: pem("serverKey") }, accept)
    : createServer(accept);
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return (server.address() as { port: number }).port;
}

function replyOf(request: http.ClientRequest): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  request.on("response", resolve);
  request.on("error", reject);
  request.end();
  return promise;
}

interface Body {
  readonly bytes: Buffer;
  readonly code: unknown;
}

/** Reads a body with a pause before each piece, and what of it there is when the connection has ended. */
async function read(message: http.IncomingMessage, pause = 0): Promise<Body> {
  const parts: Buffer[] = [];
  const closed = Promise.withResolvers<unknown>();
  let isOver = false;
  let wake = () => {};
  const over = (error?: Error) => {
    isOver = true;
    closed.resolve((error as { code?: unknown } | undefined)?.code);
    wake();
  };
  message.on("readable", () => wake());
  message.on("error", over);
  message.on("end", () => over());
  for (;;) {
    const part = message.read() as Buffer | null;
    if (part !== null) {
      parts.push(part);
      await Bun.sleep(pause);
    } else if (isOver) return { bytes: Buffer.concat(parts), code: await closed.promise };
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}

const HEAD = "HTTP/1.1 200 OK\r\n";
const get = (port: number, options: http.RequestOptions = {}) =>
  replyOf(http.request({ host: "127.0.0.1", port, ...options }));

describe("node:http", () => {
  test.each([
    [false, 0],
    [false, 5],
    [true, 0],
    [true, 5],
  ])(
    "gives all that came before the connection ended (TLS: %p, read with pauses of %d ms)",
    async (secure, pause) => {
      const bytes = Buffer.alloc(3_000_000, "abcdefg");
      const port = await serve((socket) => {
        socket.write(`${HEAD}Content-Length: 10000000\r\n\r\n`);
        socket.end(bytes);
      }, secure);
      const options = { host: "localhost", port, ca: pem("ca") };
      const message = await replyOf((secure ? https : http).request(options));
      const found = await read(message, pause);
      expect(found.code).toBe("ECONNRESET");
      expect(Buffer.compare(found.bytes, bytes)).toBe(0);
    },
  );

  test.each([
    ["a length", "Content-Length: 100\r\n\r\nabc"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
  ])("tells that a body with %s ends early", async (_, rest) => {
    const port = await serve((socket) => void socket.end(HEAD + rest));
    const { bytes, code } = await read(await get(port));
    expect([bytes.toString(), code]).toEqual(["abc", "ECONNRESET"]);
  });

  test("doesn't tell that a body with neither ends early", async () => {
    const port = await serve((socket) => void socket.end(`${HEAD}\r\nabc`));
    const { bytes, code } = await read(await get(port));
    expect([bytes.toString(), code]).toEqual(["abc", undefined]);
  });

  test("leaves a body as it was stored, and doesn't ask for anything else", async () => {
    let asked = "";
    const port = await serve((socket, request) => {
      asked = request;
      socket.write(`${HEAD}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc`);
    });
    expect((await read(await get(port))).bytes.toString()).toBe("abc");
    expect(asked.toLowerCase()).not.toContain("accept");
  });

  test("reads no more than it is asked for, and some", async () => {
    const size = 256 * 1024 * 1024;
    let sent = 0;
    const port = await serve((socket) => {
      socket.write(`${HEAD}Content-Length: ${size}\r\n\r\n`);
      const piece = Buffer.alloc(256 * 1024);
      const more = () => {
        while (!socket.destroyed && sent < size) {
          sent += piece.length;
          if (!socket.write(piece)) return void socket.once("drain", more);
        }
      };
      more();
    });
    const request = http.request({ host: "127.0.0.1", port });
    const message = await replyOf(request);
    message.on("error", () => {});
    message.once("readable", () => message.read());
    await Bun.sleep(200);
    expect(sent).toBeLessThan(size / 4);
    request.destroy();
  });

  test("gives pieces that have their memory for themselves", async () => {
    const port = await serve((socket) => {
      socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
      socket.end(`${"10000\r\n".concat("x".repeat(65536), "\r\n").repeat(10)}0\r\n\r\n`);
    });
    const message = await get(port);
    let size = 0;
    for await (const piece of message as AsyncIterable<Buffer<ArrayBuffer>>) {
      size += piece.length;
      if (piece.buffer.byteLength === piece.length) {
        expect(piece.every((byte) => byte === 120)).toBe(true);
        piece.buffer.transfer(0);
      }
    }
    expect(size).toBe(655_360);
  });

  test("has no proxy but the one that it is given", async () => {
    const port = await serve((socket) => void socket.end(`${HEAD}Content-Length: 2\r\n\r\nok`));
    process.env.HTTP_PROXY = process.env.http_proxy = "http://127.0.0.1:1";
    process.env.NODE_USE_ENV_PROXY = "1";
    try {
      const agent = new http.Agent({ keepAlive: true });
      expect((await read(await get(port, { agent }))).bytes.toString()).toBe("ok");
    } finally {
      delete process.env.HTTP_PROXY;
      delete process.env.http_proxy;
      delete process.env.NODE_USE_ENV_PROXY;
    }
  });

  test("says when a connection that was kept is used", async () => {
    const port = await serve((socket) => void socket.write(`${HEAD}Content-Length: 2\r\n\r\nok`));
    const agent = new http.Agent({ keepAlive: true });
    const used: boolean[] = [];
    for (let i = 0; i < 2; i++) {
      const request = http.request({ host: "127.0.0.1", port, agent });
      await read(await replyOf(request));
      used.push(request.reusedSocket);
      await Bun.sleep(5);
    }
    expect(used).toEqual([false, true]);
    agent.destroy();
  });

  test("closes connections that aren't used", async () => {
    const port = await serve((socket) => void socket.write(`${HEAD}Content-Length: 2\r\n\r\nok`));
    const agent = new http.Agent({ keepAlive: true, timeout: 100 });
    await read(await get(port, { agent }));
    expect(Object.keys(agent.freeSockets)).toHaveLength(1);
    await Bun.sleep(300);
    expect(Object.keys(agent.freeSockets)).toHaveLength(0);
  });
});

test("the machine's certificate authorities can be had", () => {
  const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
  if (!bundles.some(existsSync))
    return void console.log("skipped: the machine has no certificate authorities");
  expect(getCACertificates("system").length).toBeGreaterThan(0);
});
