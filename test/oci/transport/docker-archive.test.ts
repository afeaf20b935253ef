import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { CfsError, describeError } from "../../../src/errors.ts";
import { parsePlatform } from "../../../src/oci/platform.ts";
import { parseSavedImages } from "../../../src/oci/transport/docker-save.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { file, type TarItem, writeTar } from "../../support/tar-writer.ts";
import { tempDir } from "../../support/temp.ts";
import { newRepository, pull } from "../support.ts";
import {
  digestOrError,
  findManifest,
  json,
  SAVED,
  SAVED_MANIFEST,
  SAVED_TAG,
  savedParts,
} from "./support.ts";

const AMD64 = { platform: parsePlatform("linux/amd64") };
const { config, configName, layers } = savedParts();
const CONFIG = file(configName, config);
const [LOWER, UPPER] = [file("a/layer.tar", layers[0]!), file("b/layer.tar", layers[1]!)];
const link = (path: string, target: string): TarItem => ({ path, type: "symlink", target });
const list = (...paths: readonly string[]) =>
  json("manifest.json", [{ Config: configName, RepoTags: null, Layers: paths }]);

const OTHER_CONFIG = Buffer.from(
  JSON.stringify({ ...JSON.parse(Buffer.from(config).toString()), created: "2020-01-01T00:00:00Z" }),
);

async function manifestOf(archive: Uint8Array, image = ""): Promise<string> {
  using dir = tempDir();
  writeFileSync(dir.join("a.tar"), archive);
  return await digestOrError(`docker-archive:${dir.join("a.tar")}${image}`, dir.path, AMD64);
}

describe("the manifest is that of skopeo", () => {
  test.each<[string, Uint8Array]>([
    ["as docker wrote it long ago", writeTar([CONFIG, LOWER, UPPER, list("a/layer.tar", "b/layer.tar")])],
    ["the list first", writeTar([list("a/layer.tar", "b/layer.tar"), UPPER, LOWER, CONFIG])],
    ["other spellings", writeTar([list("./a//layer.tar", "b/layer.tar"), UPPER, { ...LOWER, path: "./a/layer.tar" }, CONFIG])],
    ["a layer by a link", writeTar([CONFIG, LOWER, UPPER, link("c/layer.tar", "../a/layer.tar"), list("c/layer.tar", "b/layer.tar")])],
    ["a layer by two links", writeTar([CONFIG, LOWER, UPPER, link("d", "c"), link("c", "a/layer.tar"), list("d", "b/layer.tar")])],
    ["a layer by a hard link", writeTar([CONFIG, LOWER, UPPER, { path: "c", type: "hardlink", target: "a/layer.tar" }, list("c", "b/layer.tar")])],
    ["compressed layers", writeTar([CONFIG, file("a/layer.tar", Bun.gzipSync(layers[0]!)), file("b/layer.tar", Bun.zstdCompressSync(layers[1]!)), list("a/layer.tar", "b/layer.tar")])],
    ["compressed as a whole", Bun.gzipSync(new Uint8Array(writeTar([CONFIG, LOWER, UPPER, list("a/layer.tar", "b/layer.tar")])))],
    ["two lists, of which the last counts", writeTar([json("manifest.json", []), CONFIG, LOWER, UPPER, list("a/layer.tar", "b/layer.tar")])],
  ])("%s", async (_, archive) => {
    expect(await manifestOf(archive)).toBe(SAVED_MANIFEST);
  }); // biome-ignore format: one line a case

  test("byte for byte", async () => {
    using dir = tempDir();
    const found = await findManifest(`docker-archive:${SAVED}`, dir.path, AMD64);
    expect<string>(createHash("sha256").update(found.bytes).digest("hex")).toBe(SAVED_MANIFEST.slice(7));
    expect<string>(found.digest).toBe(SAVED_MANIFEST);
    expect(found.index).toBeUndefined();
  });
});

describe("one image of several", () => {
  const archive = writeTar([
    CONFIG,
    file("other.json", OTHER_CONFIG),
    LOWER,
    UPPER,
    json("manifest.json", [
      { Config: configName, RepoTags: ["one:1", "x.test/one:2"], Layers: ["a/layer.tar", "b/layer.tar"] },
      { Config: "other.json", RepoTags: ["two:latest"], Layers: ["a/layer.tar", "b/layer.tar"] },
      { Config: "other.json", RepoTags: [], Layers: ["a/layer.tar", "b/layer.tar"] },
    ]),
  ]);
  // `skopeo inspect --raw docker-archive:FILE:@1 | sha256sum`
  const OTHER = "sha256:f0cc7d2be7b7085bcc4bb5314a3d48801bff71bc2da76f9b68461d9cdd1480bc";

  test.each([
    [":@0", SAVED_MANIFEST],
    [":@1", OTHER],
    [":@2", OTHER],
    [":one:1", SAVED_MANIFEST],
    [":docker.io/library/one:1", SAVED_MANIFEST],
    [":x.test/one:2", SAVED_MANIFEST],
    [":two", OTHER],
  ])("%s", async (image, digest) => {
    expect(await manifestOf(archive, image)).toBe(digest);
  });

  test.each([
    ["", "Unexpected tar manifest.json: expected 1 item, got 3"],
    [":@3", "Invalid source index @3, only 3 manifest items available"],
    [":one", 'Tag "docker.io/library/one:latest" not found'],
  ])("%p is not clear", async (image, message) => {
    expect(await manifestOf(archive, image)).toEndWith(message);
  });
});

describe("refused:", () => {
  const whole = list("a/layer.tar", "b/layer.tar");
  const bomb = Bun.gzipSync(new Uint8Array(64)).slice(0, 12);
  test.each<[string, Uint8Array, string]>([
    ["nothing in it", writeTar([]), "not found in archive: manifest.json"],
    ["no image", writeTar([json("manifest.json", [])]), "expected 1 item, got 0"],
    ["an OCI layout without a list", writeTar([json("index.json", {})]), "it is not an archive that docker save makes"],
    ["a list that is no list", writeTar([json("manifest.json", { Config: "x" })]), '"images" must be an array'],
    ["a list that is no JSON", writeTar([file("manifest.json", "{")]), "the manifest.json is not JSON"],
    ["a huge list", writeTar([file("manifest.json", new Uint8Array(9 * 1024 * 1024).fill(32))]), "manifest.json is larger than 8388608 bytes"],
    ["an entry that is none", writeTar([json("manifest.json", [null])]), "manifest.json: image 0 is not an object"],
    ["layers that are none", writeTar([json("manifest.json", [{ Config: "c", Layers: [1] }])]), '"Layers" must have strings only'],
    ["no config", writeTar([LOWER, UPPER, whole]), `not found in archive: ${configName}`],
    ["a config outside", writeTar([json("manifest.json", [{ Config: "/etc/passwd", Layers: [] }])]), "not found in archive: /etc/passwd"],
    ["a config above", writeTar([json("manifest.json", [{ Config: "../../etc/passwd", Layers: [] }])]), "not found in archive: ../../etc/passwd"],
    ["a config by a link to the outside", writeTar([link("c", "/etc/passwd"), json("manifest.json", [{ Config: "c", Layers: [] }])]), "not found in archive: c"],
    ["a link above the archive", writeTar([link("c", "../c"), json("manifest.json", [{ Config: "c", Layers: [] }])]), "not found in archive: c"],
    ["links in a circle", writeTar([link("c", "d"), link("d", "c"), json("manifest.json", [{ Config: "c", Layers: [] }])]), "not found in archive: c"],
    ["a layer that is missing", writeTar([CONFIG, LOWER, whole]), "layer b/layer.tar is missing from the archive"],
    ["fewer layers than diff IDs", writeTar([CONFIG, LOWER, list("a/layer.tar")]), "Inconsistent layer count: 1 in manifest, 2 in config"],
    ["a compressed layer that is cut", writeTar([CONFIG, file("a/layer.tar", bomb), UPPER, whole]), "gzip data ends too early"],
    ["a layer packed with xz", writeTar([CONFIG, file("a/layer.tar", Buffer.from("fd377a585a000004", "hex")), UPPER, whole]), "compressed with xz are not supported"],
    ["a directory for a layer", writeTar([CONFIG, LOWER, { path: "b/layer.tar", type: "directory" }, whole]), "layer b/layer.tar is missing"],
  ])("%s", async (_, archive, message) => {
    expect(await manifestOf(archive)).toContain(message);
  }); // biome-ignore format: one line a case

  test("another platform", async () => {
    using dir = tempDir();
    const arm = { platform: parsePlatform("linux/arm64") };
    expect(await digestOrError(`docker-archive:${SAVED}`, dir.path, arm)).toEndWith(
      "No manifest found for platform linux/arm64; available: linux/amd64",
    );
    expect(await digestOrError(`docker-archive:${SAVED}`, dir.path, { ...arm, anyPlatform: true })).toBe(SAVED_MANIFEST); // biome-ignore format: short
  });

  test("whatever byte is changed: the manifest, or an error that says what is wrong", async () => {
    using dir = tempDir();
    const saved = readFileSync(SAVED);
    // The rest are the layers, which nobody has looked at yet.
    const headers = saved.indexOf("manifest.json") + 1024;
    const path = dir.join("a.tar");
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: headers }), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const archive = Buffer.from(saved);
        archive[at]! ^= change;
        writeFileSync(path, archive);
        const error = await findManifest(`docker-archive:${path}`, dir.path, AMD64).then(
          () => undefined,
          (e) => e,
        );
        if (error !== undefined) expect(error).toBeInstanceOf(CfsError);
      }),
      { numRuns: 200 },
    );
  });

  test.each([1, 511, 512, 513, 10_000])("an archive of which only %d bytes are there", async (size) => {
    using dir = tempDir();
    writeFileSync(dir.join("a.tar"), readFileSync(SAVED).subarray(0, size));
    const error = await findManifest(`docker-archive:${dir.join("a.tar")}`, dir.path, AMD64).catch((e) => e);
    expect(error).toBeInstanceOf(CfsError);
  });

  test("any list is parsed or refused", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          parseSavedImages(Buffer.from(JSON.stringify(value)));
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
        }
      }),
    );
  });
});

describe("pulled", () => {
  test("plain and compressed layers", async () => {
    using dir = tempDir();
    const archive = [CONFIG, file("a", Bun.gzipSync(layers[0]!)), UPPER, list("a", "b/layer.tar")];
    writeFileSync(dir.join("a.tar"), writeTar(archive));
    using one = newRepository(dir.join("one"), SHA256);
    using other = newRepository(dir.join("other"), SHA256);
    const report = await pull(one, `docker-archive:${SAVED}:${SAVED_TAG}`, { tag: "x" });
    expect<string>(report.manifest).toBe(SAVED_MANIFEST);
    expect((await pull(other, `docker-archive:${dir.join("a.tar")}`, { tag: "x" })).verity).toBe(
      report.verity,
    );
    expect(await pull(one, `docker-archive:${SAVED}`, { tag: "x" })).toMatchObject({ unchanged: true });
  });

  test.each<[string, TarItem[]]>([
    ["a layer with other content", [CONFIG, LOWER, file("b/layer.tar", layers[0]!)]],
    ["layers in the wrong order", [CONFIG, file("a/layer.tar", layers[1]!), file("b/layer.tar", layers[0]!)]],
  ])("%s is refused", async (_, items) => {
    using dir = tempDir();
    writeFileSync(dir.join("a.tar"), writeTar([...items, list("a/layer.tar", "b/layer.tar")]));
    using repository = newRepository(dir.join("r"), SHA256);
    const failure = pull(repository, `docker-archive:${dir.join("a.tar")}`, { tag: "x" });
    expect(describeError(await failure.catch((error) => error))).toMatch(/digest|checksum/);
  });
});
