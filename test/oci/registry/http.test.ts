import { describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { pem } from "../../support/certificates.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { addBlob, addManifest, collect, connect, failure, NAME, never, sampleBytes } from "./support.ts";

const USER = { username: "u", password: "p" };
const BLOBS = `/v2/${NAME}/blobs/`;
const bytes = sampleBytes(50_000);

/** A server that says this to everything, byte for byte. */
async function parrot(
  text: string,
  onData: (text: string) => void = () => {},
): Promise<{ readonly host: string } & Disposable> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      onData(data.toString("latin1"));
      socket.write(text);
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const { port } = server.address() as { port: number };
  return { host: `127.0.0.1:${port}`, [Symbol.dispose]: () => void server.close() };
}

describe("redirections", () => {
  test("to other servers take the range along, and leave the credentials behind", async () => {
    using storage = await startRegistry();
    using registry = await startRegistry({
      auth: { scheme: "basic", ...USER },
      redirectBlobs: storage,
      content: storage.content,
    });
    const blob = addBlob(registry, bytes);
    const repository = connect(registry, { user: USER });
    expect(await collect(repository.stream(blob, 1000, never()))).toHaveLength(49_000);
    const [sent] = storage.requests;
    expect(sent!.path).toStartWith("/storage/");
    expect(sent!.headers.get("range")).toBe("bytes=1000-");
    expect(sent!.headers.has("authorization")).toBe(false);
    expect(registry.requestsTo("/blobs/")[0]!.headers.has("authorization")).toBe(true);
  });

  test("within the server keep the credentials", async () => {
    using registry = await startRegistry({ auth: { scheme: "basic", ...USER } });
    const blob = addBlob(registry, bytes);
    registry.fault(BLOBS, { status: 307, headers: { Location: `${BLOBS}${blob.digest}` } });
    expect(await collect(connect(registry, { user: USER }).stream(blob, 0, never()))).toHaveLength(50_000);
  });

  test.each([301, 302, 303, 307, 308])("with status %d are followed", async (status) => {
    using registry = await startRegistry();
    const blob = addBlob(registry, bytes);
    registry.fault(BLOBS, { status, headers: { Location: `${registry.url}/storage/${blob.digest}` } });
    expect(await collect(connect(registry).stream(blob, 0, never()))).toHaveLength(50_000);
  });

  test("that come back to the server find the credentials gone", async () => {
    using other = await startRegistry({ name: "localhost" });
    using registry = await startRegistry({ auth: { scheme: "basic", ...USER } });
    const blob = addBlob(registry, bytes);
    const there = `${BLOBS}${blob.digest}`;
    registry.fault(BLOBS, { status: 307, headers: { Location: `http://${other.host}${there}` } });
    other.fault(BLOBS, { status: 307, headers: { Location: `${registry.url}${there}` } });
    expect((await failure(collect(connect(registry, { user: USER }).stream(blob, 0, never())))).kind).toBe(
      "Permission",
    );
    expect(registry.requestsTo("/blobs/")[1]!.headers.has("authorization")).toBe(false);
  });

  test.each([
    ["to nowhere", "http://", "can't be understood"],
    ["to something else", "file:///etc/passwd", "can't be understood"],
    ["for ever", BLOBS, "more than 10 redirections"],
  ])("%s are refused", async (_, location, message) => {
    using registry = await startRegistry();
    const blob = addBlob(registry, bytes);
    registry.fault(BLOBS, { status: 302, headers: { Location: location } }, { times: Infinity });
    const { kind, text } = await failure(collect(connect(registry).stream(blob, 0, never())));
    expect(kind).toBe("Network");
    expect(text).toContain(message);
  });

  test("out of TLS are refused", async () => {
    using storage = await startRegistry();
    using registry = await startRegistry({
      tls: true,
      name: "localhost",
      redirectBlobs: storage,
      content: storage.content,
    });
    const blob = addBlob(registry, bytes);
    const repository = connect(registry, { insecure: false, ca: pem("ca") });
    expect((await failure(collect(repository.stream(blob, 0, never())))).text).toContain(
      "without encryption",
    );
    expect(storage.requests).toHaveLength(0);
  });
});

describe("TLS", () => {
  const start = (options = {}): Promise<TestRegistry> =>
    startRegistry({ tls: true, name: "localhost", ...options });

  test("with an authority of the user's", async () => {
    using registry = await start();
    addManifest(registry, "v1");
    expect(await connect(registry, { insecure: false, ca: pem("ca") }).manifest("v1")).toBeDefined();
    expect(registry.peakConnections).toBe(1);
  });

  test("with an unknown authority", async () => {
    using registry = await start();
    const { kind, text, error } = await failure(connect(registry, { insecure: false }).manifest("v1"));
    expect(kind).toBe("Network");
    expect(text).toContain("authority is not trusted");
    expect(error.hint).toContain("certs.d");
    expect(registry.requests).toHaveLength(0);
  });

  test("with an unknown authority in a registry that is said to be insecure", async () => {
    using registry = await start();
    addManifest(registry, "v1");
    expect(await connect(registry).manifest("v1")).toBeDefined();
    // which is not remembered for others
    expect((await failure(connect(registry, { insecure: false }).manifest("v1"))).kind).toBe("Network");
  });

  test("is not left to the environment", async () => {
    using registry = await start();
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    try {
      expect((await failure(connect(registry, { insecure: false }).manifest("v1"))).text).toContain(
        "not trusted",
      );
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
  });

  test("with a certificate for another host", async () => {
    using registry = await start({ name: "localhost" });
    const host = `127.0.0.2:${registry.port}`;
    const { text } = await failure(connect({ host }, { insecure: false, ca: pem("ca") }).manifest("v1"));
    expect(text).toMatch(/the certificate is for another host|connection refused/);
  });

  test("with a client certificate, and without one", async () => {
    using registry = await start({ clientCertificate: true });
    addManifest(registry, "v1");
    const files = { ca: [pem("ca")], cert: pem("clientCert"), key: pem("clientKey") };
    expect(await connect(registry, { insecure: false, tls: () => files }).manifest("v1")).toBeDefined();
    const { kind } = await failure(connect(registry, { insecure: false, ca: pem("ca") }).manifest("v1"));
    expect(kind).toBe("Network");
  });

  test("is expected of every registry that isn't said to be insecure", async () => {
    using registry = await startRegistry();
    addManifest(registry, "v1");
    const { kind, text, error } = await failure(connect(registry, { insecure: false }).manifest("v1"));
    expect(kind).toBe("Network");
    expect(text).toMatch(/the TLS handshake failed|the connection was closed/);
    expect(error.hint).toContain("insecure");
    expect(registry.requests).toHaveLength(0);
  });

  test("the configuration is asked for the registry's own name", async () => {
    using registry = await start();
    const asked: string[] = [];
    addManifest(registry, "v1");
    const tls = (host: string) => {
      asked.push(host);
      return { ca: [pem("ca")] };
    };
    await connect(registry, { insecure: false, tls }).manifest("v1");
    expect(new Set(asked)).toEqual(new Set([registry.host]));
  });
});

describe("servers that can't be reached", () => {
  test("refuse the connection: they are asked three times", async () => {
    const errors: string[] = [];
    const onRetry = ({ message }: Error) => void errors.push(message);
    const { kind, text } = await failure(connect({ host: "127.0.0.1:1" }, {}, { onRetry }).manifest("v1"));
    expect(kind).toBe("Network");
    expect(text).toBe("127.0.0.1:1: connection refused");
    expect(errors).toHaveLength(2);
  });

  test("have no address", async () => {
    const { text } = await failure(connect({ host: "registry.invalid" }).manifest("v1"));
    expect(text).toMatch(
      /^registry\.invalid: (there is no such host|the host name can't be resolved at present)$/,
    );
  });

  test("never answer", async () => {
    using server = await parrot("");
    const { kind, text } = await failure(connect(server).manifest("v1"));
    expect(kind).toBe("Network");
    expect(text).toContain("no reply within 0.3 s");
  });

  test.each([
    ["a status for ever", "HTTP/1.1 "],
    ["something else", "220 mail.example ESMTP\r\n"],
  ])("say %s", async (_, text) => {
    using server = await parrot(text);
    expect((await failure(connect(server).manifest("v1"))).kind).toBe("Network");
  });

  test("are no registries", async () => {
    using registry = await startRegistry();
    registry.fault("/v2/", { status: 404 });
    const { text } = await failure(connect(registry).manifest("v1"));
    expect(text).toBe(`${registry.host} is no registry: it has no /v2/`);
  });

  test("are behind a proxy that is down", async () => {
    const proxy = () => "http://user:secret@127.0.0.1:1";
    const { kind, text } = await failure(connect({ host: "registry.example" }, { proxy }).manifest("v1"));
    expect(kind).toBe("Network");
    expect(text).toBe("through the proxy 127.0.0.1:1: registry.example: connection refused");
  });
});

test("a proxy is used when the configuration names one, and the environment's is not", async () => {
  using proxy = await startRegistry();
  addManifest(proxy, "v1");
  const before = process.env.HTTP_PROXY;
  process.env.HTTP_PROXY = "http://127.0.0.1:1";
  try {
    const through = { proxy: (url: URL) => (url.protocol === "http:" ? proxy.url : undefined) };
    expect(await connect(proxy).manifest("v1")).toBeDefined();
    proxy.clearRequests();
    expect(await connect({ host: "registry.invalid" }, through).manifest("v1")).toBeDefined();
    expect(proxy.requests[0]!.headers.get("host")).toBe("registry.invalid");
  } finally {
    if (before === undefined) delete process.env.HTTP_PROXY;
    else process.env.HTTP_PROXY = before;
  }
});

test("docker.io is reached by another name, but configured by its own", async () => {
  const asked: string[] = [];
  using proxy = await parrot("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", (text) =>
    asked.push(text),
  );
  const names: string[] = [];
  const tls = (host: string) => {
    names.push(host);
    return { ca: [] };
  };
  const configured = { insecure: false, tls, proxy: () => `http://${proxy.host}` };
  const { kind, text } = await failure(connect({ host: "docker.io" }, configured).manifest("v1"));
  expect(kind).toBe("Network");
  expect(text).toContain(proxy.host);
  expect(asked[0]).toStartWith("CONNECT registry-1.docker.io:443 HTTP/1.1");
  expect(new Set(names)).toEqual(new Set(["docker.io"]));
});

describe("what a registry says", () => {
  const FIRST = "a\u001b[2Jb\u202e";
  test.each<[number, string, string | undefined, string]>([
    [
      403,
      `{"errors":[{"code":"DENIED","message":"${JSON.stringify(FIRST).slice(1, -1)}"}]}`,
      "Permission",
      "DENIED: a [2Jb (HTTP status 403)",
    ],
    [403, '{"errors":[{"code":"DENIED"},{"message":"no"}]}', "Permission", "DENIED; no (HTTP status 403)"],
    [403, '{"message":"plain"}', "Permission", "plain (HTTP status 403)"],
    [403, "<html>", "Permission", "is denied: HTTP status 403"],
    [403, '{"errors":["a",3]}', "Permission", "is denied: HTTP status 403"],
    [
      404,
      '{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}',
      "NotFound",
      "NAME_UNKNOWN: no such repository",
    ],
    [413, "", "Invalid", "is too large for the registry"],
    [429, "", "Network", "too many requests"],
    [418, `{"errors":[{"code":"${"x".repeat(5000)}"}]}`, "Invalid", "x… (HTTP status 418)"],
    [500, "x".repeat(1_000_000), "Network", "HTTP status 500"],
  ])("status %d %.60s", async (status, body, kind, message) => {
    using registry = await startRegistry();
    registry.fault(`/v2/${NAME}/manifests/`, { status, body }, { times: Infinity });
    const found = await failure(connect(registry).manifest("v1"));
    expect(found.kind).toBe(kind!);
    expect(found.text).toContain(message);
    expect(found.text.length).toBeLessThan(500);
  });
});
