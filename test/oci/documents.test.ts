import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { CfsError } from "../../src/errors.ts";
import { parseConfig } from "../../src/oci/config.ts";
import { parseIndex } from "../../src/oci/index.ts";
import { isContainerImage, MAX_MANIFEST_SIZE, parseManifest } from "../../src/oci/manifest.ts";
import { DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST } from "../../src/oci/media-types.ts";
import { FIXTURES } from "./support.ts";

const HEX = "6acba205afb1c881c215285ccd7857adf1bf50f52d834da69120cb4f4330a6f9";
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const blob = (mediaType: string) => ({ mediaType, digest: `sha256:${HEX}`, size: 7 });

describe("manifests", () => {
  test("of both dialects", () => {
    const oci = parseManifest(readFileSync(join(FIXTURES, "registry/basic-v1.manifest.json")));
    expect<string>(oci.digest).toBe(
      "sha256:e73f8398df5ac73893bc174d18792a5ef487e377f35635898c562d4c81336666",
    );
    expect([oci.mediaType, oci.layers.length, isContainerImage(oci)]).toEqual([OCI_MANIFEST, 3, true]);
    const docker = parseManifest(readFileSync(join(FIXTURES, "registry/v2s2-v1.manifest.json")));
    expect([docker.mediaType, docker.layers.length, isContainerImage(docker)]).toEqual([
      DOCKER_MANIFEST,
      2,
      true,
    ]);
  });

  test("without a media type: the config tells", () => {
    const of = (type: string) => parseManifest(bytes({ schemaVersion: 2, config: blob(type), layers: [] })).mediaType; // biome-ignore format: short
    expect(of(OCI_CONFIG)).toBe(OCI_MANIFEST);
    expect(of(DOCKER_CONFIG)).toBe(DOCKER_MANIFEST);
  });

  test("with a subject and annotations", () => {
    const manifest = parseManifest(
      bytes({
        schemaVersion: 2,
        config: blob("application/vnd.oci.empty.v1+json"),
        layers: [],
        subject: blob(OCI_MANIFEST),
        annotations: { a: "b" },
        artifactType: "x/y",
      }),
    );
    expect(manifest.subject?.size).toBe(7);
    expect(manifest.annotations.get("a")).toBe("b");
    expect(manifest.artifactType).toBe("x/y");
    expect(isContainerImage(manifest)).toBe(false);
  });

  const config = blob(OCI_CONFIG);
  test.each<[string, Uint8Array, string]>([
    ["schema 1", bytes({ schemaVersion: 1 }), "schema version 1 is not supported"],
    ["no schema version", bytes({ config, layers: [] }), "schema version undefined"],
    ["an index", bytes({ schemaVersion: 2, manifests: [] }), 'missing field "config"'],
    ["no layers", bytes({ schemaVersion: 2, config }), 'missing field "layers"'],
    ["layers of another type", bytes({ schemaVersion: 2, config, layers: {} }), '"layers" must be an array'],
    [
      "a layer without digest",
      bytes({ schemaVersion: 2, config, layers: [{ mediaType: "x", size: 1 }] }),
      'layer 0: missing field "digest"',
    ],
    [
      "a size that is a text",
      bytes({ schemaVersion: 2, config, layers: [{ ...config, size: "1" }] }),
      '"size" must be a size',
    ],
    [
      "a size that is no whole number",
      bytes({ schemaVersion: 2, config, layers: [{ ...config, size: 1.5 }] }),
      '"size" must be a size',
    ],
    [
      "a size above 2^53",
      bytes({ schemaVersion: 2, config, layers: [{ ...config, size: 2 ** 60 }] }),
      '"size" must be a size',
    ],
    [
      "another media type",
      bytes({ schemaVersion: 2, mediaType: "x", config, layers: [] }),
      "media type x is not supported",
    ],
    [
      "annotations that are no text",
      bytes({ schemaVersion: 2, config, layers: [], annotations: { a: 1 } }),
      '"annotations.a" must be a string',
    ],
    ["more than 4 MiB", new Uint8Array(MAX_MANIFEST_SIZE + 1), "larger than"],
    ["too many layers", bytes({ schemaVersion: 2, config, layers: Array(10_001).fill(0) }), "at most 10000"],
    ["bytes that are no text", new Uint8Array([0x22, 0xff, 0x22]), "not JSON"],
    ["an array", bytes([]), "is not an object"],
  ])("%s is refused", (_, document, message) => {
    expect(() => parseManifest(document)).toThrow(message);
  });
});

describe("configs", () => {
  const valid = {
    os: "linux",
    architecture: "arm64",
    rootfs: { type: "layers", diff_ids: [`sha256:${HEX}`] },
  };

  test("what is read from them", () => {
    const config = parseConfig(
      bytes({ ...valid, variant: "v8", created: "2020-01-01T00:00:00Z", config: { Labels: { l: "1" } } }),
    );
    expect(config.platform).toEqual({ os: "linux", architecture: "arm64", variant: "v8" });
    expect(config.diffIds.map(String)).toEqual([`sha256:${HEX}`]);
    expect(config.labels.get("l")).toBe("1");
    expect(config.created).toBe("2020-01-01T00:00:00Z");
  });

  test("nulls are like absent members", () => {
    const config = parseConfig(bytes({ ...valid, created: null, config: null, variant: null }));
    expect([config.created, config.labels.size, config.platform.variant]).toEqual([undefined, 0, undefined]);
    expect(parseConfig(bytes({ ...valid, config: { Labels: null } })).labels.size).toBe(0);
  });

  test.each<[string, object, string]>([
    ["no rootfs", { os: "l", architecture: "a" }, 'missing field "rootfs"'],
    ["no architecture", { ...valid, architecture: undefined }, 'missing field "architecture"'],
    ["no os", { ...valid, os: undefined }, 'missing field "os"'],
    [
      "a diff ID that is no digest",
      { ...valid, rootfs: { type: "layers", diff_ids: ["foo"] } },
      "missing ':' in digest",
    ],
    [
      "a diff ID of an unknown algorithm",
      { ...valid, rootfs: { type: "layers", diff_ids: ["md5:00"] } },
      "md5 is not supported",
    ],
    [
      "a diff ID that is no text",
      { ...valid, rootfs: { type: "layers", diff_ids: [1] } },
      "must be a string",
    ],
  ])("%s is refused", (_, document, message) => {
    expect(() => parseConfig(bytes(document))).toThrow(message);
  });
});

describe("any input", () => {
  const parsers = [parseManifest, parseConfig, parseIndex];
  const expectValueOrError = (document: Uint8Array) => {
    for (const parse of parsers) {
      try {
        parse(document);
      } catch (error) {
        expect(error).toBeInstanceOf(CfsError);
      }
    }
  };

  test("JSON of any shape gives a value or an error", () => {
    const names = ["schemaVersion", "config", "layers", "manifests", "rootfs", "diff_ids", "digest", "size", "mediaType", "platform", "annotations", "type", "os", "architecture", "__proto__"]; // biome-ignore format: a list
    const { node } = fc.letrec((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<unknown>(2, -1, 1.5, null, true, "", `sha256:${HEX}`, OCI_MANIFEST, OCI_CONFIG),
        fc.array(tie("node"), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...names), tie("node"), { maxKeys: 6 }),
      ),
    }));
    fc.assert(
      fc.property(node, (value) => expectValueOrError(bytes(value) ?? new Uint8Array(0))),
      { numRuns: 500 },
    );
  });

  test("damaged documents give a value or an error", () => {
    const manifest = readFileSync(join(FIXTURES, "registry/basic-v1.manifest.json"));
    fc.assert(
      fc.property(fc.nat(manifest.length - 1), fc.nat(255), fc.nat(manifest.length), (at, value, end) => {
        const document = new Uint8Array(manifest.subarray(0, end % 2 === 0 ? manifest.length : end));
        document[at % document.length] = value;
        expectValueOrError(document);
      }),
      { numRuns: 500 },
    );
  });
});
