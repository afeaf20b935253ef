import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CfsError } from "../../src/errors.ts";
import { isDigest, parseDigest, verifyDigest } from "../../src/oci/digest.ts";
import { layerCompression } from "../../src/oci/media-types.ts";
import { formatPlatform, parsePlatform, rankPlatform } from "../../src/oci/platform.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { checkTagName, decodeTag, encodeTag } from "../../src/oci/tags.ts";

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CfsError) return error.message;
    throw error;
  }
  return "";
}

const HEX = "6acba205afb1c881c215285ccd7857adf1bf50f52d834da69120cb4f4330a6f9";

describe("digests", () => {
  test.each([
    `sha256:${HEX}`,
    `sha512:${HEX}${HEX}`,
    `sha384:${HEX}${HEX.slice(0, 32)}`,
    "blake3+b64u:abc_-=",
    "a.b_c-d:X",
  ])("%s", (text) => {
    expect<string>(parseDigest(text)).toBe(text);
  });

  test.each([
    ["foo", "missing ':' in digest"],
    ["sha256:", "Empty algorithm value"],
    [":abc", "Empty algorithm component"],
    ["a..b:c", "Empty algorithm component"],
    ["sha256:12", "Invalid digest length 2 expected 64"],
    [`sha256:${HEX.toUpperCase()}`, `Invalid non-hexadecimal character in digest: ${HEX.toUpperCase()}`],
    ["other:00!", "Invalid encoded value 00!"],
    ["SHA256:00", "Invalid algorithm component SHA256"],
    [`sha256:${HEX.slice(0, 62)}/.`, `Invalid non-hexadecimal character in digest: ${HEX.slice(0, 62)}/.`],
    ["x:../../etc", "Invalid encoded value ../../etc"],
  ])("%s is refused", (text, message) => {
    expect(messageOf(() => parseDigest(text))).toBe(message);
    expect(isDigest(text)).toBe(false);
  });

  test("contents are compared", () => {
    const empty = new Uint8Array(0);
    const digest = parseDigest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(() => verifyDigest(empty, digest, "Blob")).not.toThrow();
    expect(messageOf(() => verifyDigest(new Uint8Array(1), digest, "Blob"))).toBe(
      `Blob digest mismatch for ${digest}: computed sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d`,
    );
    expect(() => verifyDigest(empty, parseDigest("md5:00"), "Blob")).toThrow("md5 is not supported");
  });
});

describe("references", () => {
  const name = { host: "docker.io", path: "library/a", tag: "latest", digest: undefined };
  test.each([
    ["oci:dir", { transport: "oci", path: "dir" }],
    ["oci:dir:tag", { transport: "oci", path: "dir", tag: "tag" }],
    ["oci:/a/b:c/d", { transport: "oci", path: "/a/b:c/d" }],
    ["oci:/a/b:c:t", { transport: "oci", path: "/a/b:c", tag: "t" }],
    ["oci:dir:", { transport: "oci", path: "dir" }],
    ["oci-archive:a.tar:v1", { transport: "oci-archive", path: "a.tar", tag: "v1" }],
    ["docker://a", { transport: "docker", name }],
    ["registry:a", { transport: "docker", name }],
    ["registry://a", { transport: "docker", name }],
    ["docker-archive:a.tar", { transport: "docker-archive", path: "a.tar" }],
    ["docker-archive:a.tar:", { transport: "docker-archive", path: "a.tar" }],
    [
      "docker-archive:a.tar:x",
      { transport: "docker-archive", path: "a.tar", image: "docker.io/library/x:latest" },
    ],
    ["docker-archive:a:h:5/x:1", { transport: "docker-archive", path: "a", image: "h:5/x:1" }],
    ["docker-archive:a.tar:@0", { transport: "docker-archive", path: "a.tar", image: 0 }],
    ["dir:/a:b", { transport: "dir", path: "/a:b" }],
    ["docker-daemon:x/y", { transport: "docker-daemon", image: "docker.io/x/y:latest" }],
    [`docker-daemon:sha256:${HEX}`, { transport: "docker-daemon", image: `sha256:${HEX}` }],
  ])("%s", (text, expected) => {
    expect<object>(parseReference(text)).toEqual({ ...expected, text });
  });

  test.each([
    ["nothing", "Missing ':' in nothing"],
    ["foo:bar", "Invalid transport: foo"],
    ["constructor:bar", "Invalid transport: constructor"],
    ["oci:", "Invalid empty name in oci:"],
    ["oci-archive::t", "Invalid empty name in oci-archive:"],
    ["docker-archive::t", "Invalid empty name in docker-archive:"],
    ["dir:", "Invalid empty name in dir:"],
    ["docker-daemon:", "Invalid empty name in docker-daemon:"],
    ["docker:a/b", "Missing // in docker:// in docker:a/b"],
    ["docker-archive:a:@x", "Invalid source index @x in docker-archive:a:@x"],
    ["docker-archive:a:@-1", "Invalid source index @-1 in docker-archive:a:@-1"],
    ["containers-storage:x", "containers-storage:x: images of containers-storage: can't be read directly"],
  ])("%s is refused", (text, message) => {
    expect(messageOf(() => parseReference(text))).toBe(message);
  });

  test.each(["docker://UPPER/x", "docker://", "docker-archive:a:UPPER", "docker-daemon:a b"])(
    "%s is no name of an image",
    (text) => {
      expect(messageOf(() => parseReference(text))).toStartWith("invalid reference format");
    },
  );
});

describe("tags", () => {
  test.each([
    ["docker://registry.example/a/b:1", "docker:%2F%2Fregistry.example%2Fa%2Fb:1"],
    ["100%", "100%25"],
    ["a b", "a b"],
    ["%2F", "%252F"],
  ])("%s", (name, encoded) => {
    expect(encodeTag(name)).toBe(encoded);
    expect(decodeTag(encoded)).toBe(name);
  });

  test("other escapes stay", () => {
    expect(decodeTag("%2f%20%2F")).toBe("%2f%20/");
  });

  test("any name survives", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (name) => {
        expect(decodeTag(encodeTag(name))).toBe(name);
        expect(encodeTag(name)).not.toContain("/");
      }),
    );
  });

  test.each(["", "@x", ".", "..", "a\0b", "/".repeat(90), "x".repeat(256)])("%p is refused", (name) => {
    expect(() => checkTagName(name)).toThrow(CfsError);
  });
});

describe("platforms", () => {
  test("are parsed and compared", () => {
    const wanted = parsePlatform("linux/arm/v7");
    expect(formatPlatform(wanted)).toBe("linux/arm/v7");
  });

  test.each<[wanted: string, offered: string, rank: number | undefined]>([
    ["linux/amd64", "linux/amd64", 0],
    ["linux/amd64", "linux/arm64", undefined],
    ["linux/amd64", "windows/amd64", undefined],
    ["linux/amd64", "linux/amd64/v1", 1],
    ["linux/amd64", "linux/amd64/v3", 3],
    ["linux/amd64", "linux/amd64/odd", 5],
    ["linux/amd64/v3", "linux/amd64/v3", 0],
    ["linux/amd64/v3", "linux/amd64/v2", 1],
    ["linux/amd64/v3", "linux/amd64", 3],
    ["linux/amd64/v3", "linux/amd64/v4", undefined],
    ["linux/arm/v7", "linux/arm/v7", 0],
    ["linux/arm/v7", "linux/arm/v6", 1],
    ["linux/arm/v7", "linux/arm", 3],
    ["linux/arm/v7", "linux/arm/v8", undefined],
    ["linux/arm", "linux/arm/v6", 2],
    ["linux/arm64", "linux/arm64/v8", 1],
    ["linux/arm64/v8", "linux/arm64", 1],
    ["linux/mips/odd", "linux/mips/odd", 0],
    ["linux/mips/odd", "linux/mips", 1],
    ["linux/mips/odd", "linux/mips/other", undefined],
  ])("%s takes %s with rank %p", (wanted, offered, rank) => {
    expect(rankPlatform(parsePlatform(offered), parsePlatform(wanted))).toBe(rank);
  });
  test.each(["linux", "linux/", "/arm", "a/b/c/d", "", "a/b\n"])("%p is refused", (text) => {
    expect(() => parsePlatform(text)).toThrow("invalid platform");
  });
});

test("media types decide what a layer is", () => {
  expect(layerCompression("application/vnd.oci.image.layer.v1.tar")).toBe("none");
  expect(layerCompression("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd")).toBe("zstd");
  expect(layerCompression("application/vnd.docker.image.rootfs.diff.tar.gzip")).toBe("gzip");
  expect(layerCompression("application/vnd.oci.image.layer.v1.tar+xz")).toBeUndefined();
});
