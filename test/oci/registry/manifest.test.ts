import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { computeDigest } from "../../../src/oci/digest.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import {
  addBlob,
  addManifest,
  connect,
  descriptorOf,
  failure,
  NAME,
  OCI_INDEX,
  OCI_MANIFEST,
  sampleBytes,
} from "./support.ts";

const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const MANIFESTS = `/v2/${NAME}/manifests/`;
let registry: TestRegistry;

beforeEach(async () => {
  registry = await startRegistry();
});
afterEach(() => registry[Symbol.dispose]());

/** Publishes a document as it is, whatever it is said to be. */
function publish(document: object | Uint8Array, mediaType: string) {
  registry.fault(MANIFESTS, { headers: { "Content-Type": mediaType } }, { times: Infinity });
  return registry.content.addManifest(NAME, document, OCI_MANIFEST, "t");
}

const CONFIG = {
  mediaType: "application/vnd.oci.image.config.v1+json",
  digest: computeDigest(Buffer.from("{}")),
  size: 2,
};

describe("a manifest", () => {
  test("is found by its tag and by its digest", async () => {
    const digest = addManifest(registry, "v1");
    const byTag = await connect(registry).manifest("v1");
    expect(byTag.digest).toBe(digest);
    expect(byTag.mediaType).toBe(OCI_MANIFEST);
    expect(computeDigest(byTag.bytes)).toBe(digest);
    expect((await connect(registry).manifest(digest)).bytes).toEqual(byTag.bytes);
  });

  test.each([
    ["in its head only", { schemaVersion: 2, config: CONFIG, layers: [] }, OCI_MANIFEST, OCI_MANIFEST],
    [
      "in its body only",
      { schemaVersion: 2, mediaType: DOCKER_MANIFEST, config: CONFIG, layers: [] },
      "application/json",
      DOCKER_MANIFEST,
    ],
    ["nowhere", { schemaVersion: 2, config: CONFIG, layers: [] }, "text/plain; charset=utf-8", OCI_MANIFEST],
    [
      "nowhere, but lists manifests",
      { schemaVersion: 2, manifests: [] },
      "application/octet-stream",
      OCI_INDEX,
    ],
    ["with parameters", { schemaVersion: 2, manifests: [] }, `${OCI_INDEX}; charset=utf-8`, OCI_INDEX],
  ])("may say what it is %s", async (_, document, type, found) => {
    publish(document, type);
    expect((await connect(registry).manifest("t")).mediaType).toBe(found);
  });

  test.each<[string, object | Uint8Array, string, string | undefined, string]>([
    [
      "that says two things",
      { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] },
      OCI_MANIFEST,
      "Invalid",
      "but says that it is",
    ],
    [
      "that could be two things",
      { schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [], manifests: [] },
      OCI_MANIFEST,
      "Invalid",
      "as a manifest and as an index",
    ],
    [
      "of an index with layers",
      { schemaVersion: 2, manifests: [], layers: [] },
      OCI_INDEX,
      "Invalid",
      "as a manifest and as an index",
    ],
    [
      "of schema 1",
      { schemaVersion: 1, name: "a" },
      "application/vnd.docker.distribution.manifest.v1+prettyjws",
      "Unsupported",
      "schema 1",
    ],
    [
      "of schema 1 without a type",
      { schemaVersion: 1, name: "a" },
      "application/json",
      "Unsupported",
      "schema 1",
    ],
    [
      "of an unknown type",
      { schemaVersion: 2, mediaType: "a/b" },
      "a/b",
      "Unsupported",
      "media type a/b is not supported",
    ],
    ["that is no JSON", Buffer.from("<html>"), OCI_MANIFEST, "Invalid", "is not JSON"],
    [
      "that is too large",
      Buffer.alloc(4 * 1024 * 1024 + 1),
      OCI_MANIFEST,
      "Invalid",
      "is larger than 4194304 bytes",
    ],
  ])("%s is refused", async (_, document, type, kind, message) => {
    publish(document, type);
    const found = await failure(connect(registry).manifest("t"));
    expect(found.kind).toBe(kind!);
    expect(found.text).toContain(message);
  });

  test("that is another one is refused", async () => {
    const digest = addManifest(registry, "v1");
    registry.fault(MANIFESTS, { corruptAt: 30 });
    const { kind, text } = await failure(connect(registry).manifest(digest));
    expect(kind).toBe("Corrupt");
    expect(text).toContain(`Manifest digest mismatch for ${digest}`);
  });

  test("that changed on the way is refused", async () => {
    addManifest(registry, "v1");
    registry.fault(MANIFESTS, { corruptAt: 30 });
    expect((await failure(connect(registry).manifest("v1"))).kind).toBe("Corrupt");
  });

  test("never ending is refused", async () => {
    addManifest(registry, "v1");
    registry.fault(MANIFESTS, { endless: true });
    expect((await failure(connect(registry).manifest("v1"))).text).toContain("is larger than");
  });

  test("that is cut is asked for again", async () => {
    const digest = addManifest(registry, "v1");
    registry.fault(MANIFESTS, { cutAfter: 20 });
    expect((await connect(registry).manifest("v1")).digest).toBe(digest);
  });

  test("by a tag that isn't there", async () => {
    addManifest(registry, "v1");
    const { kind, text } = await failure(connect(registry).manifest("v2"));
    expect(kind).toBe("NotFound");
    expect(text).toContain(`${registry.host}: manifest v2 of ${NAME} not found: MANIFEST_UNKNOWN`);
    expect(await connect(registry).manifestByTag("v2")).toBeUndefined();
    expect((await connect(registry).manifestByTag("v1"))?.mediaType).toBe(OCI_MANIFEST);
  });

  test("by a tag is not missing when it only can't be had", async () => {
    registry.fault(MANIFESTS, { status: 403 });
    expect((await failure(connect(registry).manifestByTag("v1"))).kind).toBe("Permission");
  });
});

describe("a document", () => {
  test("is a manifest or a blob, by its media type", async () => {
    const manifest = publish(
      { schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [] },
      OCI_MANIFEST,
    );
    const blob = addBlob(registry, sampleBytes(1000));
    const repository = connect(registry);
    const asManifest = {
      ...descriptorOf(new Uint8Array(0), OCI_MANIFEST),
      digest: manifest.digest as never,
      size: manifest.size,
    };
    expect(await repository.readDocument(asManifest, 10_000, "Manifest")).toHaveLength(manifest.size);
    expect(Buffer.compare(await repository.readDocument(blob, 10_000, "Config"), sampleBytes(1000))).toBe(0);
    expect(registry.requests.map(({ path }) => path.split("/").at(-2))).toEqual(["v2", "manifests", "blobs"]);
  });

  test("that is too large is not asked for", async () => {
    const blob = addBlob(registry, sampleBytes(1000));
    const { kind, text } = await failure(connect(registry).readDocument(blob, 999, "Config"));
    expect(kind).toBe("Invalid");
    expect(text).toContain("has 1000 bytes; at most 999 are read");
    expect(registry.requests).toHaveLength(0);
  });

  test("that isn't what it should be is refused", async () => {
    const blob = addBlob(registry, sampleBytes(1000));
    registry.fault(`/v2/${NAME}/blobs/`, { corruptAt: 999 });
    expect((await failure(connect(registry).readDocument(blob, 1000, "Config"))).kind).toBe("Corrupt");
  });

  test("of another size than it should have is refused", async () => {
    const manifest = addManifest(registry, "v1");
    const wrong = { ...descriptorOf(new Uint8Array(5), OCI_MANIFEST), digest: manifest };
    expect((await failure(connect(registry).readDocument(wrong, 10_000, "Manifest"))).text).toContain(
      "Expected size 5",
    );
  });
});
