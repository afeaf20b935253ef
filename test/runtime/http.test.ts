import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, getCACertificates, connect as tlsConnect } from "node:tls";
import { pem } from "../support/certificates.ts";

/** What src/http relies on, beyond the documentation of node:net and node:tls. A new Bun that breaks it is noticed here. */

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

/** All that a connection gives, with a pause after each piece, and the code of the error that ended it. */
async function read(socket: Socket, pause = 0): Promise<{ bytes: Buffer; code: unknown }> {
  const parts: Buffer[] = [];
  let code: unknown;
  const closed = Promise.withResolvers<void>();
  socket.on("data", (data: Buffer) => {
    parts.push(data);
    if (pause === 0) return;
    socket.pause();
    setTimeout(() => socket.resume(), pause);
  });
  socket.on("error", (error: { code?: unknown }) => {
    code = error.code;
  });
  socket.on("close", () => closed.resolve());
  await closed.promise;
  return { bytes: Buffer.concat(parts), code };
}

async function connected(port: number, secure = false): Promise<Socket> {
  const socket = secure
    ? tlsConnect({ host: "localhost", servername: "localhost", port, ca: pem("ca") })
    : connect({ host: "127.0.0.1", port });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once(secure ? "secureConnect" : "connect", () => resolve());
  socket.once("error", reject);
  await promise;
  return socket;
}

describe("node:net and node:tls", () => {
  test.each([
    [false, 0],
    [false, 5],
    [true, 0],
    [true, 5],
  ])("give all that came before the connection ended (TLS: %p, pauses of %d ms)", async (secure, pause) => {
    const bytes = Buffer.alloc(3_000_000, "abcdefg");
    const port = await serve((socket) => void socket.end(bytes), secure);
    const socket = await connected(port, secure);
    socket.write("go");
    const found = await read(socket, pause);
    expect(found.code).toBeUndefined();
    expect(Buffer.compare(found.bytes, bytes)).toBe(0);
  });

  test("read no more than is asked for, and some", async () => {
    const size = 256 * 1024 * 1024;
    let sent = 0;
    const port = await serve((socket) => {
      const piece = Buffer.alloc(256 * 1024);
      const more = () => {
        while (!socket.destroyed && sent < size) {
          sent += piece.length;
          if (!socket.write(piece)) return void socket.once("drain", more);
        }
      };
      more();
    });
    const socket = await connected(port);
    socket.on("data", () => socket.pause());
    socket.write("go");
    await Bun.sleep(200);
    expect(sent).toBeLessThan(size / 4);
    socket.destroy();
  });

  test("give pieces that have their memory for themselves", async () => {
    const port = await serve((socket) => void socket.end("x".repeat(655_360)));
    const socket = await connected(port);
    let size = 0;
    let wrong = 0;
    socket.on("data", (piece: Buffer<ArrayBuffer>) => {
      size += piece.length;
      if (!piece.every((byte) => byte === 120)) wrong++;
      if (piece.buffer.byteLength === piece.length) piece.buffer.transfer(0);
    });
    socket.write("go");
    await new Promise((resolve) => socket.on("close", resolve));
    expect([size, wrong]).toEqual([655_360, 0]);
  });

  test("verify before they say that a connection is secure", async () => {
    let asked = "";
    const port = await serve((_, request) => {
      asked += request;
    }, true);
    const events: string[] = [];
    const socket = tlsConnect({ host: "localhost", servername: "localhost", port });
    for (const event of ["secureConnect", "error", "close"]) socket.on(event, () => events.push(event));
    await new Promise((resolve) => socket.on("close", resolve));
    expect(events).toEqual(["error", "close"]);
    expect(asked).toBe("");
  });
});

test("the machine's certificate authorities can be had", () => {
  const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
  if (!bundles.some(existsSync))
    return void console.log("skipped: the machine has no certificate authorities");
  expect(getCACertificates("system").length).toBeGreaterThan(0);
});
