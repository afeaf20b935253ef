import { describe, expect, test } from "bun:test";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { HttpClient, type HttpRequest } from "../../src/http/client.ts";
import { Fetcher } from "../../src/http/fetcher.ts";
import type { Reply } from "../../src/http/reply.ts";

const TIMEOUTS = { reply: 300, finish: 300, speedWindow: 5000, lowSpeed: 1 };
const ADVICE = { certificate: "", handshake: "", closed: "", unknownHost: "" };

interface TestServer extends Disposable {
  readonly url: URL;
  /** All that have been opened. */
  readonly connections: readonly Socket[];
}

/** A server that does what the test says with each piece of a request. */
async function serve(onData: (socket: Socket, data: string) => void): Promise<TestServer> {
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (data) => onData(socket, data.toString("latin1")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`),
    connections,
    [Symbol.dispose]() {
      for (const socket of connections) socket.destroy();
      server.close();
    },
  };
}

function newClient(): HttpClient {
  return new HttpClient(
    { tls: () => ({ ca: [] }), proxy: () => undefined, advice: ADVICE },
    TIMEOUTS,
    false,
    new Map(),
  );
}

function send(client: HttpClient, url: URL, options: Partial<HttpRequest> = {}): Promise<Reply> {
  return client.send({ method: "GET", url, headers: {}, signal: new AbortController().signal, ...options });
}

/** What a reply says. */
async function textOf(reply: Promise<Reply>): Promise<string> {
  return Buffer.from(await (await reply).bytes(1e9, "body")).toString("latin1");
}

describe("requests that wait for a connection", () => {
  /** More than there may be connections to one server. */
  const MANY = 70;

  test("have all the time that they need", async () => {
    using server = await serve((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"));
    const client = newClient();
    const replies = Array.from({ length: MANY }, () => textOf(send(client, server.url)));
    await Bun.sleep(2 * TIMEOUTS.reply);
    const first = server.connections.length;
    expect(first).toBeLessThan(MANY);
    for (const socket of server.connections) socket.write("k");
    await Bun.sleep(TIMEOUTS.reply / 2);
    for (const socket of server.connections.slice(0, MANY - first)) socket.write("k");
    expect(await Promise.all(replies)).toEqual(Array(MANY).fill("ok"));
  });

  test("leave those alone that follow when they are given up", async () => {
    using server = await serve((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"));
    const client = newClient();
    const replies = Array.from({ length: 64 }, () => send(client, server.url));
    await Promise.all(replies);
    const { signal, abort } = withAbort();
    const givenUp = Array.from({ length: 3 }, () => send(client, server.url, { signal }));
    const last = textOf(send(client, server.url));
    abort();
    for (const { status } of await Promise.allSettled(givenUp)) expect(status).toBe("rejected");
    server.connections[0]!.end("k");
    await Promise.race([last, Bun.sleep(TIMEOUTS.reply / 2)]);
    server.connections.at(-1)!.write("k");
    expect(await last).toBe("ok");
    expect(server.connections.length).toBe(65);
    for (const reply of replies) void reply.then((r) => r.discard());
  });

  test("all fail when no connection can be made", async () => {
    let url: URL;
    {
      using server = await serve(() => undefined);
      url = server.url;
    }
    const client = newClient();
    const results = await Promise.allSettled(Array.from({ length: 3 * MANY }, () => send(client, url)));
    expect(
      new Set(results.map((result) => String((result as PromiseRejectedResult).reason.message))),
    ).toEqual(new Set([`${url.host}: connection refused`]));
  });
});

function withAbort() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

test.each([
  ["POST", ["0"]],
  ["PUT", ["0"]],
  ["PATCH", ["0"]],
  ["GET", undefined],
  ["DELETE", undefined],
] as const)("%s without content says so where content is expected", async (method, lengths) => {
  let head = "";
  using server = await serve((socket, data) => {
    head += data;
    socket.write(OK);
  });
  await textOf(send(newClient(), server.url, { method }));
  expect(head.match(/(?<=^Content-Length: ).*(?=\r$)/gim)).toEqual(
    lengths === undefined ? null : [...lengths],
  );
});

test("user and password of a URL are sent as they are meant, and are not shown", async () => {
  const logins: string[] = [];
  using server = await serve((socket, data) => {
    const login = /^Authorization: Basic (.*)\r$/im.exec(data)?.[1] ?? "";
    logins.push(Buffer.from(login, "base64").toString());
    socket.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  });
  const { signal } = withAbort();
  for (const user of ["me:p%40ss%3A", "100%:x"]) {
    const url = new URL(`http://${user}@${server.url.host}/`);
    const retries = { attempts: 1, firstDelay: 1, maxDelay: 1, maxRetryAfter: 1 };
    const fetcher = new Fetcher({ client: newClient(), mirrors: [url], retries, signal });
    const failed = fetcher.bytes({ path: "a", what: "it" }, 10);
    await expect(failed).rejects.toThrow(`it is not there: HTTP status 404 for ${server.url.href}a`);
  }
  expect(logins).toEqual(["me:p@ss:", "100%:x"]);
});
