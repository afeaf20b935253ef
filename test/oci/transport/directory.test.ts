import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { describeError } from "../../../src/errors.ts";
import { DOCKER_MANIFEST, OCI_INDEX } from "../../../src/oci/media-types.ts";
import { parsePlatform } from "../../../src/oci/platform.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { digestOf } from "../../support/oci-layout.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";
import { newRepository, pull } from "../support.ts";
import { digestOrError, findManifest, SAVED, SAVED_MANIFEST, savedParts } from "./support.ts";

const AMD64 = { platform: parsePlatform("linux/amd64") };

/** Writes what `skopeo copy docker-archive:… dir:` writes. */
async function writeImage(dir: TempDir): Promise<string> {
  const path = dir.join("image");
  mkdirSync(path);
  const { config, layers } = savedParts();
  for (const bytes of [config, ...layers]) writeFileSync(`${path}/${digestOf(bytes).slice(7)}`, bytes);
  const { bytes } = await findManifest(`docker-archive:${SAVED}`, dir.path, AMD64);
  writeFileSync(`${path}/manifest.json`, bytes);
  writeFileSync(`${path}/version`, "Directory Transport Version: 1.1\n");
  return path;
}

/** Puts an index before the image. */
async function writeIndex(dir: TempDir, ...platforms: readonly (object | undefined)[]): Promise<string> {
  const path = await writeImage(dir);
  renameSync(`${path}/manifest.json`, `${path}/${SAVED_MANIFEST.slice(7)}.manifest.json`);
  const size = Bun.file(`${path}/${SAVED_MANIFEST.slice(7)}.manifest.json`).size;
  const manifests = platforms.map((platform) => ({
    mediaType: DOCKER_MANIFEST,
    digest: SAVED_MANIFEST,
    size,
    platform,
  }));
  writeFileSync(`${path}/manifest.json`, JSON.stringify({ schemaVersion: 2, manifests }));
  return path;
}

test("an image", async () => {
  using dir = tempDir();
  const path = await writeImage(dir);
  expect(await digestOrError(`dir:${path}`, dir.path, AMD64)).toBe(SAVED_MANIFEST);
  using repository = newRepository(dir.join("r"), SHA256);
  expect<string>((await pull(repository, `dir:${path}`)).manifest).toBe(SAVED_MANIFEST);
});

test("an index", async () => {
  using dir = tempDir();
  const path = await writeIndex(
    dir,
    { os: "linux", architecture: "s390x" },
    { os: "linux", architecture: "amd64" },
  );
  const found = await findManifest(`dir:${path}`, dir.path, AMD64);
  expect<string>(found.digest).toBe(SAVED_MANIFEST);
  expect(found.index?.mediaType).toBe(OCI_INDEX);
  expect<string | undefined>(found.index?.digest).toBe(
    digestOf(await Bun.file(`${path}/manifest.json`).bytes()),
  );
  using repository = newRepository(dir.join("r"), SHA256);
  expect<string>((await pull(repository, `dir:${path}`)).manifest).toBe(SAVED_MANIFEST);
});

describe("refused:", () => {
  const config = digestOf(savedParts().config).slice(7);
  test.each<[string, (path: string) => void, string]>([
    ["no version", (path) => rmSync(`${path}/version`), "version does not exist"],
    ["another version", (path) => writeFileSync(`${path}/version`, "Directory Transport Version: 2.0\n"), "does not name version 1"],
    ["a long version", (path) => writeFileSync(`${path}/version`, "x".repeat(300)), "version is larger than 256 bytes"],
    ["no manifest", (path) => rmSync(`${path}/manifest.json`), "manifest.json does not exist"],
    ["a huge manifest", (path) => writeFileSync(`${path}/manifest.json`, " ".repeat(5e6)), "manifest.json is larger than 4194304 bytes"],
    ["a link for the manifest", (path) => replace(path, "manifest.json"), "is a symbolic link"],
    ["a link for a blob", (path) => replace(path, config), "is a symbolic link"],
    ["a config that is missing", (path) => rmSync(`${path}/${config}`), "does not exist"],
    ["a config that was changed", (path) => writeFileSync(`${path}/${config}`, "x".repeat(443)), "Config digest mismatch"],
    ["a config of another size", (path) => writeFileSync(`${path}/${config}`, "{}"), "Expected size 443 but found 2"],
    ["an image of schema 1", (path) => writeFileSync(`${path}/manifest.json`, '{"schemaVersion":1}'), "schema version 1 is not supported"],
    ["an index without images", (path) => writeFileSync(`${path}/manifest.json`, '{"schemaVersion":2,"manifests":[]}'), "contains no manifests"],
  ])("%s", async (_, damage, message) => {
    using dir = tempDir();
    const path = await writeImage(dir);
    damage(path);
    expect(await digestOrError(`dir:${path}`, dir.path, AMD64)).toContain(message);
  }); // biome-ignore format: one line a case

  const replace = (path: string, name: string) => {
    renameSync(`${path}/${name}`, `${path}/elsewhere`);
    symlinkSync("elsewhere", `${path}/${name}`);
  };

  test("another platform", async () => {
    using dir = tempDir();
    const path = await writeIndex(dir, { os: "linux", architecture: "s390x" });
    const message = "No manifest found for platform linux/amd64; available: linux/s390x";
    expect(await digestOrError(`dir:${path}`, dir.path, AMD64)).toEndWith(message);
  });

  test("a layer with other content", async () => {
    using dir = tempDir();
    const path = await writeImage(dir);
    const { layers } = savedParts();
    const changed = layers[1]!.slice();
    changed[changed.length - 1]! ^= 1;
    writeFileSync(`${path}/${digestOf(layers[1]!).slice(7)}`, changed);
    using repository = newRepository(dir.join("r"), SHA256);
    expect(describeError(await pull(repository, `dir:${path}`).catch((error) => error))).toContain(
      "checksum",
    );
  });
});
