import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { getCACertificates } from "node:tls";

let server: Server | undefined;
afterEach(() => void server?.close());

/** A server that gets a socket for each connection once the request has come. */
async function serve(answer: (socket: Socket, request: string) => void): Promise<string> {
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => answer(socket, data.toString()));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
}

async function codeOf(action: () => Promise<unknown>): Promise<unknown> {
  try {
    await action();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

const HEAD = "HTTP/1.1 200 OK\r\n";

describe("fetch", () => {
  test.each([
    ["a length", "Content-Length: 100\r\n\r\nabc"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
  ])("tells that a body with %s ends early", async (_, rest) => {
    const url = await serve((socket) => {
      socket.write(HEAD + rest);
      setTimeout(() => socket.destroy(), 20);
    });
    expect(await codeOf(async () => (await fetch(url)).bytes())).toBe("ECONNRESET");
  });

  test("doesn't tell that a body with neither ends early", async () => {
    const url = await serve((socket) => void socket.end(`${HEAD}\r\nabc`));
    expect(await (await fetch(url)).text()).toBe("abc");
  });

  test("leaves a body as it was stored, and doesn't ask for anything else", async () => {
    let asked = "";
    const url = await serve((socket, request) => {
      asked = request;
      socket.write(`${HEAD}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc`);
    });
    expect(await (await fetch(url, { decompress: false } as BunFetchRequestInit)).text()).toBe("abc");
    expect(asked.toLowerCase()).not.toContain("accept-encoding");
  });

  test("reads no more than it is asked for, and some", async () => {
    const size = 256 * 1024 * 1024;
    let sent = 0;
    const url = await serve((socket) => {
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
    const reader = (await fetch(url)).body!.getReader();
    await reader.read();
    await Bun.sleep(200);
    expect(sent).toBeLessThan(size / 4);
    await reader.cancel();
  });

  test("sends a body of known size without chunks", async () => {
    let asked = "";
    const url = await serve((socket, request) => {
      asked += request;
      if (asked.endsWith("hello")) socket.write(`${HEAD}Content-Length: 0\r\n\r\n`);
    });
    const body = (async function* () {
      yield Buffer.from("hel");
      yield Buffer.from("lo");
    })();
    await fetch(url, {
      method: "PUT",
      body: body as unknown as Bun.BodyInit,
      headers: { "Content-Length": "5" },
    });
    expect(asked.toLowerCase()).toContain("content-length: 5\r\n");
    expect(asked.toLowerCase()).not.toContain("transfer-encoding");
  });

  test("uses the environment's proxy unless it is told not to", async () => {
    const url = await serve((socket) => void socket.write(`${HEAD}Content-Length: 2\r\n\r\nok`));
    process.env.HTTP_PROXY = "http://127.0.0.1:1";
    try {
      expect(await codeOf(() => fetch(url))).toBe("ECONNREFUSED");
      expect(await (await fetch(url, { proxy: false } as unknown as BunFetchRequestInit)).text()).toBe("ok");
    } finally {
      delete process.env.HTTP_PROXY;
    }
  });

  test("fails with the reason that it is aborted with", async () => {
    const url = await serve((socket) => void socket.write(`${HEAD}Content-Length: 100\r\n\r\nabc`));
    const controller = new AbortController();
    const reason = new Error("enough");
    const response = await fetch(url, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 10);
    await expect(response.bytes()).rejects.toBe(reason);
  });
});

test("the machine's certificate authorities can be had", () => {
  const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
  if (!bundles.some(existsSync))
    return void console.log("skipped: the machine has no certificate authorities");
  expect(getCACertificates("system").length).toBeGreaterThan(0);
});
