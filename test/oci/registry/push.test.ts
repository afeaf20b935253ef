import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import type { UploadContent } from "../../../src/oci/registry/types.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import {
  addManifest,
  connect,
  descriptorOf,
  failure,
  NAME,
  OCI_MANIFEST,
  plain,
  QUICK_RETRIES,
  sampleBytes,
} from "./support.ts";

const UPLOADS = `/v2/${NAME}/blobs/uploads/`;
const large = sampleBytes(3_000_000);
const small = sampleBytes(1000);
let registry: TestRegistry;

beforeEach(async () => {
  registry = await startRegistry();
});
afterEach(() => registry[Symbol.dispose]());

/** Content in pieces; `reads` tells from where it was asked for. */
function content(bytes: Uint8Array): UploadContent & { readonly reads: number[] } {
  const reads: number[] = [];
  const { digest, size } = descriptorOf(bytes);
  return {
    digest,
    size,
    reads,
    async *read(from) {
      reads.push(from);
      for (let at = from; at < size; at += 50_000) yield bytes.subarray(at, at + 50_000);
    },
  };
}

const push = (options = {}) => connect(registry, {}, { access: "push", ...options });
const stored = ({ digest }: Pick<Descriptor, "digest">) => registry.content.blob(NAME, digest);
const uploadRequests = () =>
  registry.requestsTo("/uploads/").map(({ method, status }) => `${method} ${status}`);

describe("a blob", () => {
  test("that is small is sent in the request that ends the upload", async () => {
    const blob = content(small);
    await push().uploadBlob(blob, () => {});
    expect(Buffer.compare(stored(blob)!, small)).toBe(0);
    expect(uploadRequests()).toEqual(["POST 202", "PUT 201"]);
  });

  test("of no bytes is sent", async () => {
    const blob = content(new Uint8Array(0));
    await push().uploadBlob(blob, () => {});
    expect(stored(blob)).toHaveLength(0);
  });

  test("that is large is sent in one piece, and its length with it", async () => {
    const blob = content(large);
    const told: number[] = [];
    await push().uploadBlob(blob, (bytes) => void told.push(bytes));
    expect(Buffer.compare(stored(blob)!, large)).toBe(0);
    expect(uploadRequests()).toEqual(["POST 202", "PATCH 202", "PUT 201"]);
    expect(registry.requests.find(({ method }) => method === "PATCH")!.headers.get("content-length")).toBe(
      "3000000",
    );
    expect(told.at(-1)).toBe(3_000_000);
    expect(told).toEqual([...told].sort((a, b) => a - b));
  });

  test("whose upload breaks is sent on from what the registry has", async () => {
    const blob = content(large);
    registry.fault(UPLOADS, { cutUploadAfter: 1_000_000 }, { method: "PATCH", times: 2 });
    await push().uploadBlob(blob, () => {});
    expect(Buffer.compare(stored(blob)!, large)).toBe(0);
    const [first, second, third] = blob.reads;
    expect(first).toBe(0);
    expect(second!).toBeGreaterThan(0);
    expect(third!).toBeGreaterThan(second!);
    const patches = registry.requests.filter(({ method }) => method === "PATCH");
    expect(patches[1]!.headers.get("content-range")).toBe(`${second}-2999999`);
  });

  test("whose upload is lost is sent again", async () => {
    const blob = content(large);
    registry.fault(UPLOADS, { cutUploadAfter: 1_000_000 }, { method: "PATCH" });
    registry.fault(UPLOADS, { status: 404 }, { method: "GET" });
    await push().uploadBlob(blob, () => {});
    expect(Buffer.compare(stored(blob)!, large)).toBe(0);
    expect(blob.reads).toEqual([0, 0]);
  });

  test("is sent in smaller pieces when the server takes no large ones", async () => {
    const big = sampleBytes(40_000_000);
    const blob = content(big);
    registry.fault(UPLOADS, { status: 413 }, { method: "PATCH" });
    await push().uploadBlob(blob, () => {});
    expect(Buffer.compare(stored(blob)!, big)).toBe(0);
    expect(uploadRequests()).toEqual([
      "POST 202",
      "PATCH 413",
      "POST 202",
      "PATCH 202",
      "PATCH 202",
      "PUT 201",
    ]);
  });

  test.each([429, 500, 503])("is sent again after status %d", async (status) => {
    const blob = content(small);
    registry.fault(UPLOADS, { status }, { method: "POST" });
    registry.fault(UPLOADS, { status }, { method: "PUT" });
    await push().uploadBlob(blob, () => {});
    expect(stored(blob)).toHaveLength(1000);
  });

  test("is given up when the connection breaks again and again", async () => {
    registry.fault(UPLOADS, { cutUploadAfter: 0, refuse: true }, { method: "PATCH", times: Infinity });
    const blob = content(large);
    expect((await failure(push().uploadBlob(blob, () => {}))).kind).toBe("Network");
    expect(registry.requests.filter(({ method }) => method === "PATCH")).toHaveLength(QUICK_RETRIES.attempts);
  });

  test("is done with when it is cancelled", async () => {
    const controller = new AbortController();
    let ended = false;
    const blob: UploadContent = {
      ...content(large),
      async *read() {
        try {
          for (;;) {
            await Bun.sleep(5);
            yield large.subarray(0, 1000);
          }
        } finally {
          ended = true;
        }
      },
    };
    setTimeout(() => controller.abort(), 50);
    const repository = connect(registry, {}, { access: "push", signal: controller.signal });
    expect((await failure(repository.uploadBlob(blob, () => {}))).kind).toBe("Cancelled");
    await Bun.sleep(20);
    expect(ended).toBe(true);
  });

  test("that isn't what its digest says is refused by the registry", async () => {
    const blob = { ...content(small), digest: descriptorOf(large).digest };
    const { kind, text } = await failure(push().uploadBlob(blob, () => {}));
    expect(kind).toBe("Invalid");
    expect(text).toContain("DIGEST_INVALID");
  });

  test("that ends early is not uploaded", async () => {
    const blob = { ...content(small), size: 1001 };
    const { kind } = await failure(push().uploadBlob(blob, () => {}));
    expect(kind).toBe("Corrupt");
    expect(stored(blob)).toBeUndefined();
  });

  test("that the registry stores under another digest is an error", async () => {
    const blob = content(small);
    const other = descriptorOf(large).digest;
    registry.fault(UPLOADS, { headers: { "Docker-Content-Digest": other } }, { method: "PUT" });
    const { kind, text } = await failure(push().uploadBlob(blob, () => {}));
    expect(kind).toBe("Corrupt");
    expect(text).toContain(`stored ${blob.digest} as ${other}`);
  });

  test("is looked for before", async () => {
    registry.content.addBlob(NAME, small);
    expect(await push().hasBlob(descriptorOf(small).digest)).toBe(true);
    expect(await push().hasBlob(descriptorOf(large).digest)).toBe(false);
    registry.fault(`/v2/${NAME}/blobs/`, { status: 403 });
    expect((await failure(push().hasBlob(descriptorOf(small).digest))).kind).toBe("Permission");
  });
});

describe("where to upload to", () => {
  test.each<[string, (registry: TestRegistry) => string]>([
    ["a path", () => `${UPLOADS}known?a=b`],
    ["a whole address", ({ url }) => `${url}${UPLOADS}known?a=b`],
  ])("may be %s", async (_, location) => {
    registry.fault(UPLOADS, { status: 202, headers: { Location: location(registry) } }, { method: "POST" });
    registry.fault(`${UPLOADS}known`, { status: 201 }, { method: "PUT" });
    const blob = content(small);
    await push().uploadBlob(blob, () => {});
    expect(registry.requests.at(-1)!.query.get("a")).toBe("b");
    expect(registry.requests.at(-1)!.query.get("digest")).toBe(blob.digest);
  });

  test("may be another server, which doesn't see the credentials", async () => {
    using storage = await startRegistry({ name: "localhost" });
    storage.fault("/put", { status: 201 }, { method: "PUT" });
    const user = { username: "u", password: "p" };
    using locked = await startRegistry({ auth: { scheme: "basic", ...user } });
    locked.fault(UPLOADS, { status: 202, headers: { Location: `${storage.url}/put` } }, { method: "POST" });
    await connect(locked, { user }, { access: "push" }).uploadBlob(content(small), () => {});
    expect(storage.requests[0]!.headers.has("authorization")).toBe(false);
    expect(storage.requests[0]!.headers.get("content-length")).toBe("1000");
  });

  test.each([null, "http://", "file:///tmp"])("can't be %j", async (location) => {
    registry.fault(UPLOADS, { headers: { Location: location } }, { method: "POST" });
    expect((await failure(push().uploadBlob(content(small), () => {}))).text).toContain(
      "doesn't say where to upload to",
    );
  });
});

describe("a blob of another repository", () => {
  const { digest } = descriptorOf(small);

  test("is made available", async () => {
    registry.content.addBlob("other/place", small);
    expect(await push().mountBlob(digest, "other/place")).toBe(true);
    expect(stored({ digest })).toHaveLength(1000);
  });

  test("that isn't there leaves no upload behind", async () => {
    expect(await push().mountBlob(digest, "other/place")).toBe(false);
    expect(uploadRequests()).toEqual(["POST 202", "DELETE 204"]);
  });

  test.each([400, 401, 403, 404, 405])("may be refused with status %d", async (status) => {
    registry.fault(UPLOADS, { status, headers: { "WWW-Authenticate": "Basic" } }, { times: Infinity });
    expect(await push().mountBlob(digest, "other/place")).toBe(false);
  });
});

describe("a manifest", () => {
  const config = Buffer.from("{}");
  const document = (extra = {}) =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: plain(descriptorOf(config, "application/vnd.oci.image.config.v1+json")),
        layers: [],
        ...extra,
      }),
    );
  beforeEach(() => void registry.content.addBlob(NAME, config));

  test("is stored under its tag", async () => {
    expect(await push().putManifest("v1", document(), OCI_MANIFEST)).toBe(false);
    expect(registry.content.manifest(NAME, "v1")).toMatchObject({ mediaType: OCI_MANIFEST });
  });

  test("with a subject is kept track of, or not", async () => {
    const subject = { mediaType: OCI_MANIFEST, digest: addManifest(registry, "v1"), size: 1 };
    expect(await push().putManifest("s1", document({ subject }), OCI_MANIFEST)).toBe(true);
    using old = await startRegistry({ referrersApi: false, content: registry.content });
    expect(
      await connect(old, {}, { access: "push" }).putManifest("s1", document({ subject }), OCI_MANIFEST),
    ).toBe(false);
  });

  test("is sent again when the connection breaks", async () => {
    registry.fault(`/v2/${NAME}/manifests/`, { refuse: true }, { times: 2 });
    await push().putManifest("v1", document(), OCI_MANIFEST);
    expect(registry.content.manifest(NAME, "v1")).toBeDefined();
  });

  test("that is refused says why", async () => {
    registry.fault(`/v2/${NAME}/manifests/`, {
      status: 400,
      body: '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}',
    });
    const { text } = await failure(push().putManifest("v1", document(), OCI_MANIFEST));
    expect(text).toContain("MANIFEST_BLOB_UNKNOWN: blob unknown to registry");
  });
});
