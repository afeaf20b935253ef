import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { pem } from "./certificates.ts";
import { run } from "./cfsctl.ts";
import { blobPath, digestOf } from "./oci-layout.ts";
import { type Fault, type RegistryOptions, startRegistry, type TestRegistry } from "./registry.ts";
import { writeSampleLayout } from "./sample-images.ts";
import { testNeeding } from "./skip.ts";
import { noise } from "./tar-writer.ts";
import { type TempDir, tempDir } from "./temp.ts";

const SIZE = 300_000;
const bytes = noise(SIZE, 1);
const digest = digestOf(bytes);
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

function withBlob(registry: TestRegistry): string {
  registry.content.addBlob("team/app", bytes);
  return `${registry.url}/v2/team/app/blobs/${digest}`;
}

/** Status and body, or what failed, and what came until then. */
async function get(url: string, init: BunFetchRequestInit = {}) {
  const response = await fetch(url, init);
  const pieces: Uint8Array[] = [];
  let failed = false;
  try {
    for await (const piece of response.body ?? []) pieces.push(piece);
  } catch {
    failed = true;
  }
  return { status: response.status, headers: response.headers, body: Buffer.concat(pieces), failed };
}

describe("blobs", () => {
  test.each([
    ["bytes=0-0", [[0, 1]]],
    ["bytes=100-", [[100, SIZE]]],
    ["bytes=-5", [[SIZE - 5, SIZE]]],
    ["bytes=299999-999999", [[SIZE - 1, SIZE]]],
  ] as const)("%s", async (range, [[from, to]]) => {
    using registry = await startRegistry();
    const { status, headers, body } = await get(withBlob(registry), { headers: { range } });
    expect(status).toBe(206);
    expect(headers.get("content-range")).toBe(`bytes ${from}-${to - 1}/${SIZE}`);
    expect(body.equals(bytes.subarray(from, to))).toBe(true);
    expect(registry.sent(digest)).toEqual([[from, to]]);
  });

  test("several ranges come as parts, and are counted without what is around them", async () => {
    using registry = await startRegistry();
    const { status, headers, body } = await get(withBlob(registry), {
      headers: { range: "bytes=0-9, 20-29,5-24" },
    });
    expect(status).toBe(206);
    expect(headers.get("content-type")).toBe("multipart/byteranges; boundary=part-of-a-blob");
    expect(body.toString("latin1").match(/Content-Range: [^\r]*/g)).toEqual([
      `Content-Range: bytes 0-9/${SIZE}`,
      `Content-Range: bytes 20-29/${SIZE}`,
      `Content-Range: bytes 5-24/${SIZE}`,
    ]);
    expect(body.includes(Buffer.concat([Buffer.from("\r\n\r\n"), bytes.subarray(5, 25)]))).toBe(true);
    expect(registry.traffic(digest)).toEqual({ bytes: 40, twice: 10 });
  });

  test("outside of the blob there is no range", async () => {
    using registry = await startRegistry();
    const { status, headers } = await get(withBlob(registry), { headers: { range: `bytes=${SIZE}-` } });
    expect([status, headers.get("content-range")]).toEqual([416, `bytes */${SIZE}`]);
  });

  test.each([
    ["none", "bytes=5-9", 200],
    ["single", "bytes=5-9", 206],
    ["single", "bytes=5-9,20-29", 200],
  ] as const)("ranges: %s, %s", async (ranges, range, expected) => {
    using registry = await startRegistry({ ranges });
    expect((await get(withBlob(registry), { headers: { range } })).status).toBe(expected);
  });

  test("are redirected to another origin", async () => {
    using storage = await startRegistry({ name: "localhost", tls: true });
    using registry = await startRegistry({ redirectBlobs: storage, content: storage.content });
    const { body } = await get(withBlob(registry), {
      headers: { authorization: "Basic c2VjcmV0" },
      tls: { ca: pem("ca") },
    });
    expect(body.equals(bytes)).toBe(true);
    const [kept, followed] = [registry, storage].map(({ requests }) => requests[0]!);
    expect(kept!.headers.get("authorization")).toBe("Basic c2VjcmV0");
    expect(followed!.headers.get("authorization")).toBeNull();
    expect(storage.sent(digest)).toEqual([[0, SIZE]]);
  });
});

describe("faults", () => {
  const cases: [string, Fault, Partial<Awaited<ReturnType<typeof get>>> & { length?: number }][] = [
    [
      "a status",
      { status: 429, headers: { "Retry-After": "3" }, body: "slowly" },
      { status: 429, length: 6 },
    ],
    ["a wrong byte", { corruptAt: 9 }, { status: 200, failed: false, length: SIZE }],
    ["a longer body", { extraBytes: 7 }, { failed: false, length: SIZE + 7 }],
    ["a length that is too large", { contentLength: SIZE + 1 }, { failed: true }],
    ["a length that is too small", { contentLength: 10 }, { failed: false, length: 10 }],
    ["no length", { contentLength: null }, { failed: false, length: SIZE }],
    ["another body", { body: "<html>" }, { status: 206, length: 6 }],
    ["no attention to ranges", { ignoreRange: true }, { status: 200, length: SIZE }],
  ];
  test.each(cases)("%s", async (_, fault, { length, ...expected }) => {
    using registry = await startRegistry();
    const url = withBlob(registry);
    registry.fault("/v2/team/app/blobs/", fault);
    const wantsRange = fault.body !== undefined || fault.ignoreRange;
    const found = await get(url, wantsRange ? { headers: { range: "bytes=1-" } } : {});
    expect(found).toMatchObject(expected);
    // fetch may drop what came before a failure
    if (length !== undefined) expect(found.body.length).toBe(length);
    // once only
    expect((await get(url)).body.equals(bytes)).toBe(true);
  });

  test("a cut comes behind the bytes, which all arrive", async () => {
    using registry = await startRegistry();
    const url = new URL(withBlob(registry));
    registry.fault("/v2/", { cutAfter: 70_001 });
    // fetch drops what it has not handed out when the connection ends
    const pieces: Buffer[] = [];
    const socket = connect(registry.port, "127.0.0.1");
    socket.write(`GET ${url.pathname} HTTP/1.1\r\n\r\n`);
    for await (const piece of socket) pieces.push(piece);
    const answer = Buffer.concat(pieces);
    expect(answer.subarray(answer.indexOf("\r\n\r\n") + 4)).toEqual(Buffer.from(bytes.subarray(0, 70_001)));
    expect(registry.sent(digest)).toEqual([[0, 70_001]]);
  });

  test("hit the turns they are meant for", async () => {
    using registry = await startRegistry();
    const url = withBlob(registry);
    registry.fault(/blobs/, { status: 503 }, { method: "GET", from: 2, times: 2 });
    const seen: number[] = [];
    for (let i = 0; i < 5; i++) {
      seen.push((await get(url)).status);
      await get(url, { method: "HEAD" });
    }
    expect(seen).toEqual([200, 503, 503, 200, 200]);
    registry.fault("/v2/", { refuse: true }, { times: Infinity });
    expect(get(url)).rejects.toThrow();
    registry.clearFaults();
    expect((await get(url)).status).toBe(200);
  });

  test("change headers", async () => {
    using registry = await startRegistry();
    const url = withBlob(registry);
    registry.fault("/v2/", { headers: { "Docker-Content-Digest": "sha256:00", ETag: null } });
    const { headers } = await get(url);
    expect([headers.get("docker-content-digest"), headers.get("etag")]).toEqual(["sha256:00", null]);
  });

  test("send slowly, stall, never end", async () => {
    using registry = await startRegistry();
    const url = withBlob(registry);
    registry.fault("/v2/", { bytesPerSecond: 600_000 });
    const start = performance.now();
    expect((await get(url)).body.length).toBe(SIZE);
    expect(performance.now() - start).toBeGreaterThan(400);

    registry.fault("/v2/", { stallAfter: 1000 });
    const stalled = await fetch(url, { signal: AbortSignal.timeout(300) });
    expect(stalled.arrayBuffer()).rejects.toThrow("timed out");

    registry.fault("/v2/", { endless: true });
    const endless = await fetch(url);
    let length = 0;
    for await (const piece of endless.body!) {
      length += piece.length;
      if (length > 2_000_000) break;
    }
    expect(length).toBeGreaterThan(2_000_000);
    expect(registry.sent(digest)[0]).toEqual([0, SIZE]);
  });
});

describe("who is let in", () => {
  const user = { username: "u", password: "p" };
  const basic = { authorization: `Basic ${btoa("u:p")}` };
  const open = (auth: RegistryOptions["auth"]) => startRegistry({ auth: auth! });

  test("Basic", async () => {
    using registry = await open({ scheme: "basic", ...user });
    const url = withBlob(registry);
    const refused = await get(url);
    expect(refused.status).toBe(401);
    expect(refused.headers.get("www-authenticate")).toBe('Basic realm="test registry"');
    expect((await get(url, { headers: basic })).status).toBe(200);
  });

  test("Bearer: tokens for a scope, which run out", async () => {
    using registry = await open({ scheme: "bearer", user, anonymousPull: true, usesPerToken: 2 });
    const url = withBlob(registry);
    const challenge = (await get(url)).headers.get("www-authenticate");
    expect(challenge).toBe(
      `Bearer realm="${registry.url}/token",service="test registry",scope="repository:team/app:pull"`,
    );
    const token = async (scope: string, init: RequestInit = {}) => {
      const answer = await fetch(`${registry.url}/token?scope=${scope}`, init);
      const { token } = (await answer.json()) as { token: string };
      return { headers: { authorization: `Bearer ${token}` } };
    };
    const anonymous = await token("repository:team/app:pull,push");
    expect((await get(url, anonymous)).status).toBe(200);
    const upload = `${registry.url}/v2/team/app/blobs/uploads/`;
    const insufficient = await get(upload, { method: "POST", ...anonymous });
    expect(insufficient.headers.get("www-authenticate")).toContain('error="insufficient_scope"');
    expect((await get(url, anonymous)).headers.get("www-authenticate")).toContain('error="invalid_token"');
    const known = await token("repository:team/app:pull,push", { headers: basic });
    expect((await get(upload, { method: "POST", ...known })).status).toBe(202);
    registry.revokeTokens();
    expect((await get(url, known)).status).toBe(401);
    expect((await get(`${registry.url}/token`, { headers: { authorization: "Basic eA==" } })).status).toBe(
      401,
    );
    expect(registry.tokensIssued).toBe(2);
  });

  test("refresh tokens, and services that give less", async () => {
    using registry = await open({ scheme: "bearer", identityToken: "id", grant: () => [] });
    const body = (token: string) =>
      new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: token,
        scope: "repository:team/app:pull",
      });
    const ask = (token: string) => fetch(`${registry.url}/token`, { method: "POST", body: body(token) });
    expect((await ask("other")).status).toBe(401);
    const { access_token } = (await (await ask("id")).json()) as { access_token: string };
    const answer = await get(withBlob(registry), { headers: { authorization: `Bearer ${access_token}` } });
    expect(answer.status).toBe(401);
  });
});

describe("manifests, tags and referrers", () => {
  const subject = { schemaVersion: 2, mediaType: MANIFEST };

  test("come by tag and by digest, in the type that the client takes", async () => {
    using registry = await startRegistry();
    const { digest } = registry.content.addManifest("a", subject, MANIFEST, "1");
    for (const reference of ["1", digest]) {
      const { status, headers, body } = await get(`${registry.url}/v2/a/manifests/${reference}`);
      expect([status, headers.get("content-type"), headers.get("docker-content-digest")]).toEqual([
        200,
        MANIFEST,
        digest,
      ]);
      expect(digestOf(body)).toBe(digest);
    }
    const accept = "application/vnd.docker.distribution.manifest.v2+json";
    expect((await get(`${registry.url}/v2/a/manifests/1`, { headers: { accept } })).status).toBe(404);
  });

  test("tags come in pages", async () => {
    using registry = await startRegistry();
    for (const tag of ["c", "a", "b"]) registry.content.addManifest("a", subject, MANIFEST, tag);
    const first = await get(`${registry.url}/v2/a/tags/list?n=2`);
    expect(first.body.toString()).toBe('{"name":"a","tags":["a","b"]}');
    expect(first.headers.get("link")).toBe('</v2/a/tags/list?n=2&last=b>; rel="next"');
    const second = await get(`${registry.url}/v2/a/tags/list?n=2&last=b`);
    expect([second.body.toString(), second.headers.get("link")]).toEqual(['{"name":"a","tags":["c"]}', null]);
  });

  test.each([true, false])("referrers, known: %p", async (referrersApi) => {
    using registry = await startRegistry({ referrersApi });
    const of = registry.content.addManifest("a", subject, MANIFEST);
    const signature = { ...subject, subject: of, artifactType: "a/signature", annotations: { by: "me" } };
    const put = await get(`${registry.url}/v2/a/manifests/signature`, {
      method: "PUT",
      body: JSON.stringify(signature),
      headers: { "content-type": MANIFEST },
    });
    expect([put.status, put.headers.get("oci-subject")]).toEqual([201, referrersApi ? of.digest : null]);
    const list = await get(`${registry.url}/v2/a/referrers/${of.digest}?artifactType=a/signature`);
    expect(list.status).toBe(referrersApi ? 200 : 404);
    if (!referrersApi) return;
    const { manifests } = JSON.parse(list.body.toString());
    expect(manifests).toMatchObject([{ artifactType: "a/signature", annotations: { by: "me" } }]);
    const none = await get(`${registry.url}/v2/a/referrers/${of.digest}?artifactType=other`);
    expect(JSON.parse(none.body.toString()).manifests).toEqual([]);
  });
});

describe("uploads", () => {
  const upload = async (registry: TestRegistry, query = "") => {
    const { status, headers } = await get(`${registry.url}/v2/team/app/blobs/uploads/${query}`, {
      method: "POST",
    });
    return { status, location: `${registry.url}${headers.get("location")}` };
  };

  test("go on where the connection broke", async () => {
    using registry = await startRegistry();
    const { location } = await upload(registry);
    registry.fault("/v2/", { cutUploadAfter: 100_000 }, { method: "PATCH" });
    expect(get(location, { method: "PATCH", body: bytes })).rejects.toThrow();
    await Bun.sleep(20);
    const { headers } = await get(location);
    expect(headers.get("range")).toBe("0-99999");
    const wrong = { "content-range": `5-${SIZE - 1}` };
    expect((await get(location, { method: "PATCH", body: bytes, headers: wrong })).status).toBe(416);
    const right = { "content-range": `100000-${SIZE - 1}` };
    const rest = await get(location, { method: "PATCH", body: bytes.subarray(100_000), headers: right });
    expect([rest.status, rest.headers.get("range")]).toEqual([202, `0-${SIZE - 1}`]);
    const done = await get(`${location}&digest=${digest}`, { method: "PUT" });
    expect([done.status, done.headers.get("docker-content-digest")]).toEqual([201, digest]);
    expect(Buffer.from(registry.content.blob("team/app", digest)!).equals(bytes)).toBe(true);
  });

  test("are refused when the digest is another one", async () => {
    using registry = await startRegistry();
    const { location } = await upload(registry);
    expect((await get(`${location}&digest=${digest}`, { method: "PUT", body: "x" })).status).toBe(400);
    expect(registry.content.blobs("team/app")).toEqual([]);
  });

  test.each([true, false])("mount what another repository has: %p", async (mounts) => {
    using registry = await startRegistry({ mounts });
    registry.content.addBlob("other", bytes);
    const { status } = await upload(registry, `?mount=${digest}&from=other`);
    expect(status).toBe(mounts ? 201 : 202);
    expect(registry.content.blobs("team/app")).toEqual(mounts ? [digest] : []);
  });

  test("must be there before the manifest", async () => {
    using registry = await startRegistry();
    const body = JSON.stringify({ config: { digest, size: SIZE, mediaType: "a/b" } });
    const put = () =>
      get(`${registry.url}/v2/a/manifests/1`, {
        method: "PUT",
        body,
        headers: { "content-type": MANIFEST },
      });
    expect((await put()).status).toBe(400);
    registry.content.addBlob("a", bytes);
    expect((await put()).status).toBe(201);
    expect(registry.content.tags("a")).toEqual(["1"]);
  });
});

describe("another client", () => {
  let scratch: TempDir;
  beforeAll(() => {
    scratch = tempDir();
  });
  afterAll(() => scratch[Symbol.dispose]());

  testNeeding({ tool: "skopeo" }).each([
    ["plain HTTP, Basic", { auth: { scheme: "basic", username: "u", password: "p" } }],
    ["TLS, Bearer", { tls: true, auth: { scheme: "bearer", user: { username: "u", password: "p" } } }],
  ] as [string, RegistryOptions][])("%s: what it pulls and pushes again is the same", async (_, options) => {
    using registry = await startRegistry(options);
    const layout = scratch.join("layout");
    const { many } = writeSampleLayout(layout);
    registry.content.addLayout("team/app", layout);
    const certificates = scratch.join("certificates");
    await Bun.write(`${certificates}/ca.crt`, pem("ca"));
    const access = (side: string) => [
      `--${side}-creds=u:p`,
      options.tls ? `--${side}-cert-dir=${certificates}` : `--${side}-tls-verify=false`,
    ];
    const copy = (...args: string[]) =>
      run(["skopeo", "--insecure-policy", "copy", "--preserve-digests", ...args]);
    const pulled = `oci:${scratch.join(`pulled-${options.tls}`)}:many`;
    expect(await copy(...access("src"), `docker://${registry.host}/team/app:many`, pulled)).toMatchObject({
      code: 0,
    });
    expect(await copy(...access("dest"), pulled, `docker://${registry.host}/again:many`)).toMatchObject({
      code: 0,
    });
    const { bytes, digest } = registry.content.manifest("again", "many")!;
    expect(digest).toBe(many.manifest);
    expect(Buffer.from(bytes)).toEqual(
      Buffer.from(await Bun.file(blobPath(layout, many.manifest)).arrayBuffer()),
    );
    expect(registry.traffic(many.layers[0]!.digest)).toEqual({
      bytes: Bun.file(blobPath(layout, many.layers[0]!.digest)).size,
      twice: 0,
    });
  });
});
