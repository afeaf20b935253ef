import { describe, expect, test } from "bun:test";
import type { Credentials } from "../../../src/oci/registry/types.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import type { RegistryAuth } from "../../support/registry-auth.ts";
import {
  addBlob,
  addManifest,
  collect,
  connect,
  failure,
  NAME,
  never,
  requestLines,
  sampleBytes,
} from "./support.ts";

const USER = { username: "ann", password: "sécret:with colon" };
const basicHeader = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

async function start(auth: RegistryAuth): Promise<TestRegistry> {
  const registry = await startRegistry({ auth });
  addManifest(registry, "v1");
  return registry;
}

/** A server that answers as it is told, and keeps what it was asked. */
function serve(answer: (request: Request, url: URL) => Response | Promise<Response>) {
  const requests: { line: string; authorization: string | null; body: string }[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const url = new URL(request.url);
      const body = await request.clone().text();
      requests.push({
        line: `${request.method} ${url.pathname}${url.search}`,
        authorization: request.headers.get("authorization"),
        body,
      });
      return await answer(request, url);
    },
  });
  return { host: `127.0.0.1:${server.port}`, requests, [Symbol.dispose]: () => void server.stop(true) };
}

const unauthorized = (challenge: string) =>
  new Response('{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}', {
    status: 401,
    headers: { "WWW-Authenticate": challenge },
  });

describe("Basic", () => {
  test("credentials go with every request but the first", async () => {
    using registry = await start({ scheme: "basic", ...USER });
    await connect(registry, { user: USER }).manifest("v1");
    expect(registry.requests.map(({ headers }) => headers.get("authorization"))).toEqual([
      null,
      basicHeader(USER.username, USER.password),
    ]);
  });

  test("without credentials, nothing is sent that looks like them", async () => {
    using registry = await start({ scheme: "basic", ...USER });
    const { kind, text, error } = await failure(connect(registry).manifest("v1"));
    expect(kind).toBe("Permission");
    expect(text).toContain("needs a login");
    expect(error.hint).toContain(`podman login ${registry.host}`);
    for (const { headers } of registry.requests) expect(headers.has("authorization")).toBe(false);
  });

  test("wrong credentials are said to be wrong, and not tried again and again", async () => {
    using registry = await start({ scheme: "basic", ...USER });
    const { kind, text, error } = await failure(
      connect(registry, { user: { ...USER, password: "x" } }).manifest("v1"),
    );
    expect(kind).toBe("Permission");
    expect(text).toContain("refused the credentials of user ann");
    expect(text).not.toContain('x"');
    expect(error.hint).toContain("again");
    expect(registry.requests).toHaveLength(2);
  });
});

describe("Bearer", () => {
  test("a token is fetched once for all requests, also at the same time", async () => {
    using registry = await start({ scheme: "bearer", user: USER, expiresIn: 300 });
    const blobs = [1, 2, 3, 4].map((seed) => addBlob(registry, sampleBytes(1000, seed)));
    const repository = connect(registry, { user: USER });
    await Promise.all(blobs.map((blob) => collect(repository.stream(blob, 0, never()))));
    await repository.manifest("v1");
    expect(registry.tokensIssued).toBe(1);
    expect(registry.requests.filter(({ path }) => path === "/v2/")).toHaveLength(1);
    const token = registry.requestsTo("/token")[0]!;
    expect(token.headers.get("authorization")).toBe(basicHeader(USER.username, USER.password));
    expect([...token.query]).toEqual([
      ["account", "ann"],
      ["scope", `repository:${NAME}:pull`],
      ["service", "test registry"],
    ]);
  });

  test("a token that expires in the middle is replaced", async () => {
    using registry = await start({ scheme: "bearer", user: USER, usesPerToken: 2 });
    const blobs = [1, 2, 3, 4, 5].map((seed) => addBlob(registry, sampleBytes(1000, seed)));
    const repository = connect(registry, { user: USER });
    for (const blob of blobs) expect(await collect(repository.stream(blob, 0, never()))).toHaveLength(1000);
    expect(registry.tokensIssued).toBe(3);
  });

  test("a token that expires while a blob is read on is replaced", async () => {
    using registry = await start({ scheme: "bearer", user: USER });
    const blob = addBlob(registry, sampleBytes(300_000));
    registry.fault(`/v2/${NAME}/blobs/`, { cutAfter: 100_000, bytesPerSecond: 4_000_000 });
    const repository = connect(registry, { user: USER }, { onRetry: () => registry.revokeTokens() });
    expect(await collect(repository.stream(blob, 0, never()))).toHaveLength(300_000);
    expect(registry.tokensIssued).toBe(2);
  });

  test("a token that never works is given up", async () => {
    using registry = await start({ scheme: "bearer", user: USER, usesPerToken: 0 });
    expect((await failure(connect(registry, { user: USER }).manifest("v1"))).kind).toBe("Permission");
    expect(registry.tokensIssued).toBe(2);
  });

  test("wrong credentials are said to be wrong", async () => {
    using registry = await start({ scheme: "bearer", user: USER });
    const { kind, text } = await failure(
      connect(registry, { user: { ...USER, password: "x" } }).manifest("v1"),
    );
    expect(kind).toBe("Permission");
    expect(text).toContain("refused the credentials of user ann");
  });

  test("an anonymous token that isn't enough asks for a login", async () => {
    using registry = await start({ scheme: "bearer", anonymousPull: true, grant: () => [] });
    const { kind, text, error } = await failure(connect(registry).manifest("v1"));
    expect(kind).toBe("Permission");
    expect(text).toContain("needs a login, or does not exist");
    expect(error.hint).toContain("log in with");
  });

  test("pushing asks for more, and mounting for the other repository", async () => {
    using registry = await start({ scheme: "bearer", user: USER });
    registry.content.addBlob("other/place", Buffer.from("a blob"));
    const blob = registry.content.blobs("other/place")[0]!;
    const repository = connect(registry, { user: USER }, { access: "push" });
    expect(await repository.mountBlob(blob as never, "other/place")).toBe(true);
    expect(registry.requestsTo("/token")[0]!.query.getAll("scope")).toEqual([
      `repository:${NAME}:pull,push`,
      "repository:other/place:pull",
    ]);
  });
});

describe("identity tokens", () => {
  test("are exchanged with a POST", async () => {
    using registry = await start({ scheme: "bearer", identityToken: "refresh me" });
    await connect(registry, { user: { identityToken: "refresh me" } }).manifest("v1");
    expect(requestLines(registry)).toEqual(["GET /v2/", "POST /token", `GET /v2/${NAME}/manifests/v1`]);
  });

  test("are a password for servers that know no such POST", async () => {
    const token = { identityToken: "refresh me" } as Credentials;
    using server = serve((request, { pathname, origin }) => {
      if (pathname === "/token")
        return request.method === "POST"
          ? new Response("", { status: 404 })
          : Response.json({ access_token: "T" });
      return request.headers.get("authorization") === "Bearer T"
        ? new Response("", { status: pathname === "/v2/" ? 200 : 404 })
        : unauthorized(`Bearer realm="${origin}/token"`);
    });
    expect((await failure(connect(server, { user: token }).manifest("v1"))).kind).toBe("NotFound");
    expect(server.requests.map(({ line }) => line)).toEqual([
      "GET /v2/",
      "POST /token",
      `GET /token?scope=${encodeURIComponent(`repository:${NAME}:pull`)}`,
      `GET /v2/${NAME}/manifests/v1`,
    ]);
    expect(server.requests[1]!.body).toBe(
      `grant_type=refresh_token&scope=${encodeURIComponent(`repository:${NAME}:pull`)}&client_id=cfsctl&refresh_token=refresh+me`,
    );
    expect(server.requests[2]!.authorization).toBe(basicHeader("<token>", "refresh me"));
  });
});

describe("token servers", () => {
  const bearer = (realm: string) => (request: Request, url: URL) =>
    request.headers.get("authorization") === "Bearer T"
      ? new Response("", { status: 404 })
      : unauthorized(`Bearer realm="${realm === "" ? `${url.origin}/token` : realm}",service="s"`);

  test.each<[string, () => Response, string | undefined, string]>([
    ["no JSON", () => new Response("<html>"), "Invalid", "is not JSON"],
    ["no token in it", () => Response.json({ expires_in: 60 }), "Invalid", "has no token"],
    ["a token that is no header", () => Response.json({ token: "a\nb" }), "Invalid", "has no token"],
    ["too much", () => new Response("x".repeat(2_000_000)), "Invalid", "is larger than 1048576 bytes"],
    [
      "a refusal",
      () =>
        Response.json(
          { error: "access_denied", error_description: "you are\u001b[31m blocked" },
          { status: 403 },
        ),
      "Permission",
      "access_denied: you are [31m blocked",
    ],
  ])("%s", async (_, reply, kind, message) => {
    using server = serve((request, url) => (url.pathname === "/token" ? reply() : bearer("")(request, url)));
    const found = await failure(connect(server).manifest("v1"));
    expect(found.kind).toBe(kind!);
    expect(found.text).toContain(message);
  });

  test("are asked again when they have a problem", async () => {
    let times = 0;
    using server = serve((request, url) => {
      if (url.pathname !== "/token") return bearer("")(request, url);
      return ++times < 3 ? new Response("", { status: 503 }) : Response.json({ token: "T" });
    });
    expect((await failure(connect(server).manifest("v1"))).kind).toBe("NotFound");
    expect(times).toBe(3);
  });

  test("that are down are named", async () => {
    using server = serve(bearer("http://127.0.0.1:1/token"));
    const { kind, text } = await failure(connect(server).manifest("v1"));
    expect(kind).toBe("Network");
    expect(text).toBe(`${server.host}: getting a token: 127.0.0.1:1: connection refused`);
  });

  test.each(["ftp://example/token", "http://", "http://[/"])("can't be at %j", async (realm) => {
    using server = serve((request, url) => bearer(realm)(request, url));
    expect((await failure(connect(server).manifest("v1"))).kind).toBe("Invalid");
  });

  test("don't see the credentials when they send us on to others", async () => {
    using thief = serve(() => Response.json({ token: "T" }));
    using server = serve((request, url) =>
      url.pathname === "/token"
        ? Response.redirect(`http://${thief.host}/token`, 307)
        : bearer("")(request, url),
    );
    await failure(connect(server, { user: USER }).manifest("v1"));
    expect(thief.requests).toEqual([{ line: "GET /token", authorization: null, body: "" }]);
  });

  test("don't see a refresh token when they send us on to others", async () => {
    using thief = serve(() => Response.json({ token: "T" }));
    using server = serve((request, url) =>
      url.pathname === "/token"
        ? Response.redirect(`http://${thief.host}/token`, 307)
        : bearer("")(request, url),
    );
    const { text } = await failure(connect(server, { user: { identityToken: "secret" } }).manifest("v1"));
    expect(text).toContain("which is refused");
    expect(thief.requests).toEqual([]);
  });
});

test.each([
  ["Negotiate", "by negotiate, which isn't supported"],
  ["", "but doesn't say how"],
])("challenge %j can't be met", async (challenge, message) => {
  using server = serve(() => unauthorized(challenge));
  const { kind, text } = await failure(connect(server).manifest("v1"));
  expect(kind).toBe("Permission");
  expect(text).toContain(message);
});

test("a registry may ask for a login when it comes to the image only", async () => {
  using server = serve((request, { pathname, origin }) => {
    if (pathname === "/v2/") return new Response("");
    if (pathname === "/token") return Response.json({ token: "T" });
    return request.headers.get("authorization") === "Bearer T"
      ? new Response("", { status: 404 })
      : unauthorized(`Bearer realm="${origin}/token",scope="extra:scope:pull"`);
  });
  expect((await failure(connect(server).manifest("v1"))).kind).toBe("NotFound");
  expect(server.requests.map(({ line }) => line)).toEqual([
    "GET /v2/",
    `GET /v2/${NAME}/manifests/v1`,
    `GET /token?scope=${encodeURIComponent(`repository:${NAME}:pull`)}&scope=extra%3Ascope%3Apull`,
    `GET /v2/${NAME}/manifests/v1`,
  ]);
});

test("the first challenge that can be met is taken", async () => {
  using server = serve((request, { pathname, origin }) => {
    if (pathname === "/token") return Response.json({ token: "T" });
    const known = ["Bearer T", basicHeader("ann", "p")].includes(request.headers.get("authorization") ?? "");
    return known
      ? new Response("", { status: 404 })
      : unauthorized(`Negotiate, Basic realm="x", Bearer realm="${origin}/token"`);
  });
  await failure(connect(server, { user: { username: "ann", password: "p" } }).manifest("v1"));
  await failure(connect(server).manifest("v1"));
  expect(server.requests.map(({ authorization }) => authorization)).toEqual([
    null,
    basicHeader("ann", "p"),
    null,
    null,
    "Bearer T",
  ]);
});
