import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { hintOf } from "../../../src/errors.ts";
import { pem } from "../../support/certificates.ts";
import { startProxy } from "../../support/proxy.ts";
import { startRegistry } from "../../support/registry.ts";
import { addBlob, addManifest, collect, connect, failure, never, sampleBytes } from "./support.ts";

const LOGIN = "us er:p@ss";
const withLogin = (url: string) => url.replace("//", "//us%20er:p%40ss@");
const SECURE = { tls: true, name: "localhost" } as const;
const TRUSTING = { insecure: false, ca: pem("ca") };
const bytes = sampleBytes(400_000);

describe("a proxy", () => {
  test("tunnels what is encrypted, for who has the password", async () => {
    using registry = await startRegistry(SECURE);
    using proxy = await startProxy({ login: LOGIN });
    addManifest(registry, "v1");
    const repository = connect(registry, { ...TRUSTING, proxy: () => withLogin(proxy.url) });
    expect(await repository.manifest("v1")).toBeDefined();
    expect(proxy.connections.map(({ method, target }) => [method, target])).toEqual([
      ["CONNECT", registry.host],
    ]);
    // the registry sees nothing of it
    expect(registry.requests.some(({ headers }) => headers.has("proxy-authorization"))).toBe(false);
  });

  test("passes on what is not", async () => {
    using registry = await startRegistry();
    using proxy = await startProxy({ login: LOGIN });
    addManifest(registry, "v1");
    const through = (url: URL) => (url.protocol === "http:" ? withLogin(proxy.url) : undefined);
    expect(await connect(registry, { proxy: through }).manifest("v1")).toBeDefined();
    expect(proxy.connections[0]).toMatchObject({ method: "GET", target: registry.host });
  });

  test("that wants a password is told about", async () => {
    using registry = await startRegistry(SECURE);
    using proxy = await startProxy({ login: LOGIN });
    const { kind, text, error } = await failure(
      connect(registry, { ...TRUSTING, proxy: () => proxy.url }).manifest("v1"),
    );
    expect(kind).toBe("Network");
    expect(text).toContain("the proxy makes no connection: HTTP status 407");
    expect(hintOf(error)).toContain("password for the proxy");
  });

  test("doesn't stand in for the server's certificate", async () => {
    using registry = await startRegistry(SECURE);
    using proxy = await startProxy();
    const { text } = await failure(
      connect(registry, { insecure: false, proxy: () => proxy.url }).manifest("v1"),
    );
    expect(text).toContain("authority is not trusted");
    const other = "127.0.0.9:443";
    using misled = await startProxy({ routes: { [other]: registry.host } });
    const wrong = connect({ host: other }, { ...TRUSTING, proxy: () => misled.url });
    expect((await failure(wrong.manifest("v1"))).text).toContain("the certificate is for another host");
  });

  test("has to have a certificate itself when it is spoken to by TLS", async () => {
    using proxy = await startRegistry(SECURE);
    const { text } = await failure(
      connect({ host: "registry.example" }, { proxy: () => proxy.url }).manifest("v1"),
    );
    expect(text).toContain(`through the proxy ${proxy.host}: registry.example`);
    expect(text).toContain("authority is not trusted");
    expect(proxy.requests).toHaveLength(0);
  });

  test("that never answers is given up", async () => {
    using silent = await listening(() => {});
    const { text } = await failure(
      connect({ host: "registry.example" }, { ...TRUSTING, proxy: () => silent.url }).manifest("v1"),
    );
    expect(text).toContain("no reply within 0.3 s");
  });

  test("that ends connections costs no byte of a blob but those of unfinished TLS records", async () => {
    using registry = await startRegistry(SECURE);
    using proxy = await startProxy({ cutAfter: 150_000 });
    const blob = addBlob(registry, bytes);
    const repository = connect(registry, { ...TRUSTING, proxy: () => proxy.url });
    expect(Buffer.compare(await collect(repository.stream(blob, 0, never())), bytes)).toBe(0);
    const cuts = proxy.connections.filter(({ wasCut }) => wasCut).length;
    expect(cuts).toBeGreaterThan(1);
    const MAX_RECORD = 16 * 1024 + 256;
    const overhead = 20_000 * proxy.connections.length;
    expect(proxy.received).toBeLessThan(bytes.length + cuts * MAX_RECORD + overhead);
  });

  test("that ends connections costs no byte of a blob that isn't encrypted", async () => {
    using registry = await startRegistry();
    using proxy = await startProxy({ cutAfter: 150_000 });
    const blob = addBlob(registry, bytes);
    const repository = connect(registry, {
      proxy: (url) => (url.protocol === "http:" ? proxy.url : undefined),
    });
    expect(Buffer.compare(await collect(repository.stream(blob, 0, never())), bytes)).toBe(0);
    const headers = 1000 * proxy.connections.length;
    expect(proxy.received).toBeGreaterThan(bytes.length);
    expect(proxy.received).toBeLessThan(bytes.length + headers);
  });
});

describe("a connection", () => {
  let server: (Disposable & { readonly host: string }) | undefined;
  afterEach(() => server?.[Symbol.dispose]());

  test("that the server has closed meanwhile is replaced at once", async () => {
    let requests = 0;
    const reply = [
      "HTTP/1.1 200 OK",
      "Content-Length: 2",
      "Content-Type: application/vnd.oci.image.manifest.v1+json",
      "",
      "{}",
    ].join("\r\n");
    server = await listening((socket) => {
      // the second request on a connection is not answered any more
      let answered = false;
      socket.on("data", (data) => {
        if (!data.toString("latin1").startsWith("GET ")) return void socket.end();
        requests++;
        if (answered) socket.end();
        else socket.write(reply);
        answered = true;
      });
    });
    const errors: string[] = [];
    const onRetry = ({ message }: Error) => void errors.push(message);
    expect(await connect(server, {}, { onRetry }).manifest("v1")).toBeDefined();
    expect(errors).toEqual([]);
    // the check for an API, the manifest in vain, and once more
    expect(requests).toBe(3);
  });

  test("may say that it takes a while before it replies", async () => {
    server = await listening((socket) => {
      socket.on("data", () => {
        socket.write("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        socket.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
      });
    });
    expect((await failure(connect(server).manifest("v1"))).text).toContain("it has no /v2/");
  });

  test("whose reply has an endless head is closed", async () => {
    server = await listening((socket) => {
      socket.on("data", () => {
        socket.write("HTTP/1.1 200 OK\r\n");
        const more = () => {
          while (!socket.destroyed && socket.write(`X-More: ${"x".repeat(1000)}\r\n`));
        };
        socket.on("drain", more);
        more();
      });
    });
    expect((await failure(connect(server).manifest("v1"))).text).toContain(
      "the head of its reply is too long",
    );
  });
});

async function listening(
  onConnection: (socket: Socket) => void,
): Promise<Disposable & { readonly host: string; readonly url: string }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    host,
    url: `http://${host}`,
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
